import { type AnyMessage, type Dict, isMessageOf, taskStatus } from '@ipyparallel-js/protocol';
import type { Row } from '../hub/record-query.js';

/**
 * Output reaches the hub on another way than the reply; where some is known to be missing it is waited for this long. A
 * stock hub with much to do is seconds behind.
 */
const GRACE_MS = 10_000;
/** Where an engine was heard to begin with the task, and not that it is through with it. */
const BEGUN_GRACE_MS = 3_000;
/** Where nothing was seen of a task that has ended just now, and where it ended long ago. */
const UNSEEN_GRACE_MS = 500;
const SHORT_GRACE_MS = 50;
/** A task that ended within this time, by the clocks of engine and client, has ended just now. */
const JUST_NOW_MS = 5_000;

/** What was seen on iopub of a task whose result comes from its record: whether that record has all of it by now. */
export class ObservedOutput {
  #busy = false;
  #idle = false;
  #result: Dict | undefined;
  #text = 0;

  /** Whether anything was seen of it. */
  get any(): boolean {
    return this.#busy || this.#idle || this.#text > 0 || this.#result !== undefined;
  }

  take(message: AnyMessage): void {
    if (isMessageOf(message, 'status')) {
      if (message.content.execution_state === 'busy') this.#busy = true;
      else if (message.content.execution_state === 'idle') this.#idle = true;
    } else if (isMessageOf(message, 'stream')) this.#text += String(message.content.text).length;
    else if (message.msg_type === 'execute_result') this.#result = message.content;
  }

  /** The record, with a result that was seen in place of one that it does not have (yet). */
  complete(row: Row): Row {
    return this.#result !== undefined && mayLackResult(row) ? { ...row, execute_result: this.#result } : row;
  }

  /** How long the record of a task that has ended may be waited for to be whole, in ms; 0 when it is. */
  grace(row: Row): number {
    if ((row.stdout ?? '').length + (row.stderr ?? '').length < this.#text) return GRACE_MS;
    if (!mayLackResult(row)) return 0;
    if (this.#result !== undefined) return 0;
    // Everything that it published was seen, and no result was among it.
    if (this.#busy && this.#idle) return 0;
    if (this.#busy) return BEGUN_GRACE_MS;
    const ended = row.completed?.getTime() ?? 0;
    return Math.abs(Date.now() - ended) < JUST_NOW_MS ? UNSEEN_GRACE_MS : SHORT_GRACE_MS;
  }
}

function mayLackResult(row: Row): boolean {
  return (
    row.header?.msg_type === 'execute_request' &&
    (row.execute_result ?? null) === null &&
    taskStatus({
      engine_uuid: row.engine_uuid ?? null,
      completed: row.completed ?? null,
      result_content: row.result_content ?? null,
    }) === 'completed'
  );
}
