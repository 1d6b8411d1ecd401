import { type AnyMessage, type Dict, isMessageOf, taskStatus } from '@ipyparallel-js/protocol';
import type { Row } from '../hub/record-query.js';

/** Output of a task: the column that stores it, and the length that it adds to a text column. */
export interface ObservedOutput {
  readonly column: 'stdout' | 'stderr' | 'execute_input' | 'execute_result' | 'error' | 'display_data';
  readonly length: number;
}

/**
 * How much later than an observed event the hub's record may contain it, in ms. Output reaches the hub on another path than
 * the reply, and a busy Python hub lags seconds behind.
 */
export const RECORD_DELAYS = {
  /** The record of a task that an engine has begun. */
  missingRecord: 20_000,
  /** The end of a task or its output, in a live query. */
  liveRecord: 60_000,
  /** Observed output of an ended task. */
  observedOutput: 10_000,
  /** The result of a task that an engine has begun, without an observed `idle`. */
  begun: 3_000,
  /** The result of a task without observed messages that ended just now. */
  endedJustNow: 500,
  /** The result of a task without observed messages that ended earlier. */
  endedEarlier: 50,
  /** Output that the client did not observe, in a live query. */
  unobservedOutput: 150,
} as const;

/** A task ended just now if its end differs from this computer's time by at most this time; clocks of engines may be ahead. */
const RECENT_END_MS = 5_000;

/** Follows one task by its messages on iopub, and compares them with its record at the hub. */
export class TaskFollower {
  readonly #outputLengths = new Map<ObservedOutput['column'], number>();
  #hasBegun = false;
  #hasEnded = false;
  #result: Dict | undefined;

  /** Whether any message of the task was observed. */
  get hasMessages(): boolean {
    return this.#hasBegun || this.#hasEnded || this.#outputLengths.size > 0;
  }

  get hasOutput(): boolean {
    return this.#outputLengths.size > 0;
  }

  /** Whether the end of the task was observed: its reply, or an engine that reported `idle`. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Notes a message of the iopub socket. */
  noteMessage(message: AnyMessage): void {
    if (isMessageOf(message, 'status')) {
      if (message.content.execution_state === 'busy') this.#hasBegun = true;
      else if (message.content.execution_state === 'idle') this.noteEnd();
      return;
    }
    const output = observedOutputOf(message);
    if (output?.column === 'stdout' || output?.column === 'stderr') this.noteOutput(output);
    else if (output?.column === 'execute_result') {
      this.noteOutput(output);
      this.#result = message.content;
    }
  }

  noteEnd(): void {
    this.#hasEnded = true;
  }

  noteOutput({ column, length }: ObservedOutput): void {
    this.#outputLengths.set(column, (this.#outputLengths.get(column) ?? 0) + length);
  }

  /** Whether the record lacks observed output; columns that were not requested are ignored. */
  lacksOutput(row: Row): boolean {
    for (const [column, length] of this.#outputLengths) {
      // SQLite hubs do not store display_data.
      if (column === 'display_data' || !Object.hasOwn(row, column)) continue;
      const value = row[column] ?? null;
      if (value === null || (typeof value === 'string' && value.length < length)) return true;
    }
    return false;
  }

  /** Whether the record of a live query, `age` ms after the last message, still lacks the task, its end or its output. */
  isIncomplete(row: Row | undefined, age: number): boolean {
    if (row === undefined) return age < RECORD_DELAYS.missingRecord;
    const isOpen = (row.completed ?? null) === null;
    return age < RECORD_DELAYS.liveRecord && ((isOpen && this.#hasEnded) || this.lacksOutput(row));
  }

  /** How long to wait for the record of an ended task to be complete, in ms; 0 if it is complete. */
  waitTime(row: Row): number {
    const text = (this.#outputLengths.get('stdout') ?? 0) + (this.#outputLengths.get('stderr') ?? 0);
    if ((row.stdout ?? '').length + (row.stderr ?? '').length < text) return RECORD_DELAYS.observedOutput;
    if (!mayLackResult(row)) return 0;
    if (this.#result !== undefined) return 0;
    // All its messages were observed, and none of them was a result.
    if (this.#hasBegun && this.#hasEnded) return 0;
    if (this.#hasBegun) return RECORD_DELAYS.begun;
    const end = row.completed?.getTime() ?? 0;
    return Math.abs(Date.now() - end) < RECENT_END_MS
      ? RECORD_DELAYS.endedJustNow
      : RECORD_DELAYS.endedEarlier;
  }

  /** Returns the record, with the observed result if the record has none. */
  complete(row: Row): Row {
    return this.#result !== undefined && mayLackResult(row) ? { ...row, execute_result: this.#result } : row;
  }
}

/** The output in a message of the iopub socket; undefined for other messages. */
export function observedOutputOf({ msg_type, content }: AnyMessage): ObservedOutput | undefined {
  switch (msg_type) {
    case 'stream': {
      const column = content['name'];
      const text = content['text'];
      if ((column !== 'stdout' && column !== 'stderr') || typeof text !== 'string') return undefined;
      return { column, length: text.length };
    }
    case 'execute_input':
    case 'execute_result':
    case 'error':
    case 'display_data':
      return { column: msg_type, length: 0 };
    default:
      return undefined;
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
