import { isDeepStrictEqual } from 'node:util';
import { isDone, type TaskKey, type TaskRecord, type TaskStatus, taskStatus } from '@ipyparallel-js/protocol';
import { STATUS_KEYS } from '@ipyparallel-js/protocol/internal';
import { type ProjectedRow, projectRows, type RecordQuery, type Row } from '../hub/record-query.js';

/** What a feed has learnt of one record. Rows have the columns of {@link LiveSet.columns}. */
export type LiveChange =
  /** It matches, and this is what it is now. */
  | { readonly op: 'set'; readonly row: Row; readonly begun?: Date | undefined }
  /** It does not match; what it is now, where that is known. */
  | { readonly op: 'out'; readonly msgId: string; readonly row?: Row | undefined }
  /** There is no such record. */
  | { readonly op: 'gone'; readonly msgId: string }
  /** Its task has begun to run. */
  | { readonly op: 'begun'; readonly msgId: string; readonly begun: Date }
  /** Its record is open, and will stay so. */
  | { readonly op: 'lost'; readonly msgId: string };

/** A record of the set: what was asked for of it, and where its task is. */
export interface LiveRow {
  readonly record: ProjectedRow;
  readonly status: TaskStatus;
  readonly begun: Date | null;
}

/** A difference that a change made, before it has a sequence. */
export type Difference =
  | { readonly type: 'entered'; readonly msgId: string; readonly now: LiveRow }
  | {
      readonly type: 'changed' | 'left';
      readonly msgId: string;
      readonly now: LiveRow;
      readonly previous: LiveRow;
    };

/**
 * The records that match a live query, by id. Whatever feeds it, only true differences come out: what is told twice
 * is told on once. Of a record no more is kept than was asked for, its status, and when it began.
 */
export class LiveSet {
  readonly #question: Pick<RecordQuery, 'keys'>;
  readonly #rows = new Map<string, LiveRow>();

  constructor(question: Pick<RecordQuery, 'keys'>) {
    this.#question = question;
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

  /** Takes rows as they were told, which makes no difference to anybody. */
  seed(rows: Iterable<{ readonly row: Row; readonly begun: Date | undefined }>): void {
    for (const { row, begun } of rows) this.#rows.set(row.msg_id, this.#live(row, begun));
  }

  /** Takes changes in their order, and says what differs. */
  apply(changes: Iterable<LiveChange>): Difference[] {
    const differences: Difference[] = [];
    for (const change of changes) {
      const difference = this.#take(change);
      if (difference !== undefined) differences.push(difference);
    }
    return differences;
  }

  /** Puts the rows in the order of these ids; ids that it does not have are passed over. */
  order(msgIds: Iterable<string>): void {
    for (const msgId of msgIds) {
      const row = this.#rows.get(msgId);
      if (row === undefined) continue;
      this.#rows.delete(msgId);
      this.#rows.set(msgId, row);
    }
  }

  #take(change: LiveChange): Difference | undefined {
    switch (change.op) {
      case 'set':
        return this.#set(change.row.msg_id, this.#live(change.row, change.begun));
      case 'begun':
      case 'lost': {
        const known = this.#rows.get(change.msgId);
        // A word that comes after the end says nothing any more.
        if (known === undefined || isDone(known.status)) return undefined;
        const news = change.op === 'lost' ? { status: 'lost' as const } : { begun: change.begun };
        return this.#set(change.msgId, { ...known, ...news });
      }
      default:
        return this.#leave(change.msgId, change.op === 'out' ? change.row : 'gone');
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

  #leave(msgId: string, row: Row | 'gone' | undefined): Difference | undefined {
    const known = this.#rows.get(msgId);
    if (known === undefined) return undefined;
    const purged = { ...known, status: 'purged' as const };
    const now = row === 'gone' ? purged : row === undefined ? known : this.#live(row);
    this.#rows.delete(msgId);
    return { type: 'left', msgId, now, previous: known };
  }

  #live(row: Row, begun?: Date): LiveRow {
    const [record = {}] = projectRows([row], this.#question);
    const known = this.#rows.get(row.msg_id);
    const status = statusOf(row);
    return {
      record,
      // What was given up comes back only by its end.
      status: known?.status === 'lost' && !isDone(status) ? 'lost' : status,
      begun: begun ?? known?.begun ?? null,
    };
  }
}

/** Whether nothing of a row that a reader is told differs. */
export function sameRow(a: LiveRow, b: LiveRow): boolean {
  return (
    a.status === b.status &&
    a.begun?.getTime() === b.begun?.getTime() &&
    isDeepStrictEqual(a.record, b.record)
  );
}

/** The columns that a status is told from. */
export const STATUS_COLUMNS: readonly TaskKey[] = STATUS_KEYS;

function statusOf(row: Row): TaskStatus {
  const known = Object.fromEntries(STATUS_KEYS.map((key) => [key, row[key] ?? null]));
  return taskStatus(known as unknown as Pick<TaskRecord, (typeof STATUS_KEYS)[number]>);
}
