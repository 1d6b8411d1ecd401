import { isDeepStrictEqual } from 'node:util';
import { isDone, type TaskKey, type TaskRecord, type TaskStatus, taskStatus } from '@ipyparallel-js/protocol';
import { STATUS_KEYS } from '@ipyparallel-js/protocol/internal';
import { type ProjectedRow, projectRows, type RecordQuery, type Row } from '../hub/record-query.js';

/** A change of one record, as a source reports it. */
export type LiveChange =
  /** The record matches; `row` is its current state. */
  | { readonly op: 'set'; readonly row: Row; readonly begun?: Date | undefined }
  /** The record does not match; `row` is its current state, if known. */
  | { readonly op: 'out'; readonly msgId: string; readonly row?: Row | undefined }
  /** The record does not exist. */
  | { readonly op: 'gone'; readonly msgId: string }
  /** The task has begun to run. */
  | { readonly op: 'begun'; readonly msgId: string; readonly begun: Date }
  /** The record is incomplete and will remain so. */
  | { readonly op: 'lost'; readonly msgId: string };

/** A record of the set: its requested keys and the state of its task. */
export interface LiveRow {
  readonly record: ProjectedRow;
  readonly status: TaskStatus;
  readonly begun: Date | null;
}

/** The difference that a change made to the set. */
export type Difference =
  | { readonly type: 'entered'; readonly msgId: string; readonly now: LiveRow }
  | {
      readonly type: 'changed' | 'left';
      readonly msgId: string;
      readonly now: LiveRow;
      readonly previous: LiveRow;
    };

/**
 * The records that match a live query, by id. A change that does not alter the set makes no difference, so a source may
 * report the same state repeatedly. The set stores the requested keys, the status and the beginning of each task only.
 */
export class LiveSet {
  readonly #query: Pick<RecordQuery, 'keys'>;
  readonly #rows = new Map<string, LiveRow>();

  constructor(query: Pick<RecordQuery, 'keys'>) {
    this.#query = query;
  }

  get size(): number {
    return this.#rows.size;
  }

  get ids(): IterableIterator<string> {
    return this.#rows.keys();
  }

  get rows(): IterableIterator<LiveRow> {
    return this.#rows.values();
  }

  get(msgId: string): LiveRow | undefined {
    return this.#rows.get(msgId);
  }

  /** Adds rows that the readers already know, so no difference results. */
  seed(rows: Iterable<{ readonly row: Row; readonly begun: Date | undefined }>): void {
    for (const { row, begun } of rows) this.#rows.set(row.msg_id, this.#toLiveRow(row, begun));
  }

  /** Applies changes in order and returns the differences that they made. */
  apply(changes: Iterable<LiveChange>): Difference[] {
    const differences: Difference[] = [];
    for (const change of changes) {
      const difference = this.#applyOne(change);
      if (difference !== undefined) differences.push(difference);
    }
    return differences;
  }

  /** Sorts the rows in the order of these ids; ids that are not in the set are ignored. */
  order(msgIds: Iterable<string>): void {
    for (const msgId of msgIds) {
      const row = this.#rows.get(msgId);
      if (row === undefined) continue;
      this.#rows.delete(msgId);
      this.#rows.set(msgId, row);
    }
  }

  #applyOne(change: LiveChange): Difference | undefined {
    switch (change.op) {
      case 'set':
        return this.#set(change.row.msg_id, this.#toLiveRow(change.row, change.begun));
      case 'begun':
      case 'lost': {
        const known = this.#rows.get(change.msgId);
        // Updates that arrive after the task has ended are ignored.
        if (known === undefined || isDone(known.status)) return undefined;
        const update = change.op === 'lost' ? { status: 'lost' as const } : { begun: change.begun };
        return this.#set(change.msgId, { ...known, ...update });
      }
      default:
        return this.#remove(change.msgId, change.op === 'out' ? change.row : 'gone');
    }
  }

  #set(msgId: string, now: LiveRow): Difference | undefined {
    const known = this.#rows.get(msgId);
    if (known === undefined) {
      this.#rows.set(msgId, now);
      return { type: 'entered', msgId, now };
    }
    if (sameRow(known, now)) return undefined;
    this.#rows.set(msgId, now);
    return { type: 'changed', msgId, now, previous: known };
  }

  #remove(msgId: string, row: Row | 'gone' | undefined): Difference | undefined {
    const known = this.#rows.get(msgId);
    if (known === undefined) return undefined;
    const purged = { ...known, status: 'purged' as const };
    const now = row === 'gone' ? purged : row === undefined ? known : this.#toLiveRow(row);
    this.#rows.delete(msgId);
    return { type: 'left', msgId, now, previous: known };
  }

  #toLiveRow(row: Row, begun?: Date): LiveRow {
    const [record = {}] = projectRows([row], this.#query);
    const known = this.#rows.get(row.msg_id);
    const status = statusOf(row);
    return {
      record,
      // Only its end changes the status of a task that is considered lost.
      status: known?.status === 'lost' && !isDone(status) ? 'lost' : status,
      begun: begun ?? known?.begun ?? null,
    };
  }
}

/** Whether two rows are equal in everything that a reader receives. */
export function sameRow(a: LiveRow, b: LiveRow): boolean {
  return (
    a.status === b.status &&
    a.begun?.getTime() === b.begun?.getTime() &&
    isDeepStrictEqual(a.record, b.record)
  );
}

/** The columns from which a status is derived. */
export const STATUS_COLUMNS: readonly TaskKey[] = STATUS_KEYS;

function statusOf(row: Row): TaskStatus {
  const known = Object.fromEntries(STATUS_KEYS.map((key) => [key, row[key] ?? null]));
  return taskStatus(known as unknown as Pick<TaskRecord, (typeof STATUS_KEYS)[number]>);
}
