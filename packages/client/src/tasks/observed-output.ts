import { type AnyMessage, type Dict, isMessageOf, taskStatus } from '@ipyparallel-js/protocol';
import type { Row } from '../hub/record-query.js';

/**
 * How long to wait for output that is known to be missing in the record. Output reaches the hub on another path than the
 * reply, and a busy stock hub lags seconds behind.
 */
const MISSING_OUTPUT_MS = 10_000;
/** How long to wait if an engine has begun the task and has not reported `idle`. */
const BEGUN_MS = 3_000;
/** How long to wait for a task without observed output that ended just now, or earlier. */
const ENDED_JUST_NOW_MS = 500;
const ENDED_EARLIER_MS = 50;
/** A task ended just now if the clocks of engine and client differ from its end by at most this time. */
const JUST_NOW_MS = 5_000;

/** The output of a task on iopub, to decide whether its record is complete. */
export class ObservedOutput {
  #busy = false;
  #idle = false;
  #result: Dict | undefined;
  #text = 0;

  /** Whether any message of the task was observed. */
  get any(): boolean {
    return this.#busy || this.#idle || this.#text > 0 || this.#result !== undefined;
  }

  record(message: AnyMessage): void {
    if (isMessageOf(message, 'status')) {
      if (message.content.execution_state === 'busy') this.#busy = true;
      else if (message.content.execution_state === 'idle') this.#idle = true;
    } else if (isMessageOf(message, 'stream')) this.#text += String(message.content.text).length;
    else if (message.msg_type === 'execute_result') this.#result = message.content;
  }

  /** Returns the record, with the observed result if the record has none. */
  complete(row: Row): Row {
    return this.#result !== undefined && mayLackResult(row) ? { ...row, execute_result: this.#result } : row;
  }

  /** How long to wait for the record of an ended task to be complete, in ms; 0 if it is complete. */
  waitTime(row: Row): number {
    if ((row.stdout ?? '').length + (row.stderr ?? '').length < this.#text) return MISSING_OUTPUT_MS;
    if (!mayLackResult(row)) return 0;
    if (this.#result !== undefined) return 0;
    // All its messages were observed, and none of them was a result.
    if (this.#busy && this.#idle) return 0;
    if (this.#busy) return BEGUN_MS;
    const ended = row.completed?.getTime() ?? 0;
    return Math.abs(Date.now() - ended) < JUST_NOW_MS ? ENDED_JUST_NOW_MS : ENDED_EARLIER_MS;
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
