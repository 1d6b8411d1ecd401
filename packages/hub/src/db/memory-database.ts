import type { TaskKey } from '@ipyparallel-js/protocol';
import {
  compareText,
  compilePredicate,
  DEFAULT_SORT,
  isAfterKeys,
  type QueryNode,
  type Sort,
  type SortKeys,
  sortRecords,
} from '@ipyparallel-js/protocol/internal';
import { nextTurn } from '../common/event-loop.js';
import { MemoryOrder } from './memory-order.js';
import { MemoryRecord } from './memory-record.js';
import {
  emptyTask,
  type FindOptions,
  type FoundTask,
  type RemovalResult,
  type Selection,
  type StoredTask,
  type TaskChange,
  type TaskDatabase,
  type WriteOutcome,
} from './task-database.js';

/** Limits of the memory store. Mirrors the traits of ipyparallel's `DictDB`. */
export interface MemoryDatabaseOptions {
  /** Maximum number of records; 1024 by default. */
  readonly recordLimit?: number;
  /** Maximum size of the records in bytes, estimated; 1 GiB by default. */
  readonly sizeLimit?: number;
  /** Time after its submission at which a task is removed, in ms; unlimited by default. */
  readonly maxAge?: number;
  /** Fraction of a limit that is freed when the limit is exceeded; 0.1 by default. */
  readonly cullFraction?: number;
}

/** Longest time a scan may block the thread, in ms. */
const MAX_SCAN_TIME = 4;
const CHUNK_RECORDS = 256;
const RECORDS_PER_CHECK = 32;

/** Longest interval between two checks of `maxAge`, in ms. */
const AGE_INTERVAL = 5000;

/** Longest output that is stored, in characters; JavaScript limits strings to about 2^29. */
const MAX_OUTPUT = 1 << 28;

/**
 * Stores tasks in memory until the controller ends. When a limit is exceeded, the store removes the tasks that ended
 * first. It never removes a pending task, even if that exceeds the limit.
 */
export class MemoryDatabase implements TaskDatabase {
  readonly kind = 'memory';
  readonly #recordLimit: number;
  readonly #sizeLimit: number;
  readonly #cullFraction: number;
  readonly #records = new Map<string, MemoryRecord>();
  /** Ids of the tasks that may be culled, in the order in which they ended. */
  readonly #finishedIds = new Set<string>();
  readonly #order = new MemoryOrder((record) => this.#records.get(record.task.msg_id) === record);
  #bytes = 0;
  #nextSequence = 0;
  readonly #timer: NodeJS.Timeout | undefined;
  #expiredTasks: StoredTask[] = [];

  constructor(options: MemoryDatabaseOptions = {}) {
    this.#recordLimit = options.recordLimit ?? 1024;
    this.#sizeLimit = options.sizeLimit ?? 1024 ** 3;
    this.#cullFraction = options.cullFraction ?? 0.1;
    const { maxAge = Number.POSITIVE_INFINITY } = options;
    if (!Number.isFinite(maxAge)) return;
    const interval = Math.max(100, Math.min(AGE_INTERVAL, maxAge));
    this.#timer = setInterval(() => this.#removeExpired(Date.now() - maxAge), interval);
    this.#timer.unref();
  }

  async write(changes: readonly TaskChange[]): Promise<WriteOutcome> {
    const culled = this.#expiredTasks;
    this.#expiredTasks = [];
    for (const change of changes) {
      if (change.op === 'add') this.#add(change.task);
      else this.#update(change);
      this.#removeExcess(culled);
    }
    return { culled: culled.map(({ msg_id }) => msg_id), culledTasks: culled };
  }

  async get(msgIds: readonly string[], keys?: readonly TaskKey[]): Promise<Map<string, FoundTask>> {
    const found = new Map<string, FoundTask>();
    for (const id of msgIds) {
      const record = this.#records.get(id);
      if (record !== undefined) found.set(id, record.project(keys));
    }
    return found;
  }

  async *find(query: QueryNode, options: FindOptions = {}): AsyncGenerator<readonly FoundTask[]> {
    const { keys, sort, after, skip = 0, limit = Number.POSITIVE_INFINITY } = options;
    if (limit === 0) return;
    let position = 0;
    for await (const records of this.#findSorted(query, sort, after)) {
      const requested = records.slice(Math.max(0, skip - position), Math.max(0, skip + limit - position));
      position += records.length;
      if (requested.length > 0) yield requested.map((record) => record.project(keys));
      if (position >= skip + limit) return;
    }
  }

  async count(query: QueryNode): Promise<number> {
    let count = 0;
    for await (const records of this.#findMatches(query)) count += records.length;
    return count;
  }

  async history(): Promise<string[]> {
    const submitted: StoredTask[] = [];
    for (const { task } of this.#records.values()) if (task.submitted !== null) submitted.push(task);
    // All texts have the same format, so text order is time order, to the microsecond.
    submitted.sort(
      (a, b) => compareText(a.submitted ?? '', b.submitted ?? '') || compareText(a.msg_id, b.msg_id),
    );
    return submitted.map((task) => task.msg_id);
  }

  async remove(selection: Selection, options: { readonly dryRun?: boolean } = {}): Promise<RemovalResult> {
    const ids: string[] = [];
    if ('msgIds' in selection) {
      ids.push(...new Set(selection.msgIds));
    } else {
      for await (const records of this.#findMatches(selection.query))
        for (const { task } of records) ids.push(task.msg_id);
    }
    const records = ids.flatMap((id) => this.#records.get(id) ?? []);
    const bytes = records.reduce((sum, record) => sum + record.bytes, 0);
    const msgIds = records.map(({ task }) => task.msg_id);
    if (options.dryRun !== true) for (const id of msgIds) this.#delete(id);
    return { count: msgIds.length, bytes, msgIds };
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#records.clear();
    this.#finishedIds.clear();
    this.#order.clear();
    this.#bytes = 0;
  }

  #add(task: StoredTask): void {
    const existing = this.#records.get(task.msg_id);
    if (existing === undefined) {
      this.#insert(task);
      return;
    }
    const setFields = Object.entries(task).filter(([, value]) => value !== null && value !== '');
    this.#change(existing, Object.fromEntries(setFields));
  }

  #update({ msgId, set = {}, append, orAdd }: Extract<TaskChange, { op: 'update' }>): void {
    let record = this.#records.get(msgId);
    if (record === undefined) {
      if (orAdd !== true) return;
      record = this.#insert(emptyTask(msgId));
    }
    const fields: Record<string, unknown> = { ...set };
    for (const name of ['stdout', 'stderr'] as const) {
      const text = append?.[name];
      if (text === undefined) continue;
      const output = record.task[name] + text;
      fields[name] = output.length > MAX_OUTPUT ? output.slice(0, MAX_OUTPUT) : output;
    }
    this.#change(record, fields);
  }

  #insert(task: StoredTask): MemoryRecord {
    const record = new MemoryRecord(task, this.#nextSequence++);
    this.#records.set(task.msg_id, record);
    this.#order.add(record);
    this.#bytes += record.bytes;
    if (!record.isPending) this.#finishedIds.add(task.msg_id);
    return record;
  }

  #change(record: MemoryRecord, fields: Record<string, unknown>): void {
    this.#bytes -= record.bytes;
    const submitted = Number(record.read('submitted') ?? Number.NaN);
    record.set(fields);
    if (!Object.is(Number(record.read('submitted') ?? Number.NaN), submitted)) {
      this.#order.markStale();
      this.#order.add(record);
    }
    this.#bytes += record.bytes;
    if (record.isPending) this.#finishedIds.delete(record.task.msg_id);
    else this.#finishedIds.add(record.task.msg_id);
  }

  #delete(msgId: string): void {
    const record = this.#records.get(msgId);
    if (record === undefined) return;
    this.#bytes -= record.bytes;
    this.#records.delete(msgId);
    this.#finishedIds.delete(msgId);
    this.#order.markStale();
  }

  #removeExcess(culled: StoredTask[]): void {
    const remaining = 1 - this.#cullFraction;
    const exceedsCount = this.#records.size > this.#recordLimit;
    const exceedsSize = this.#bytes > this.#sizeLimit;
    if (!exceedsCount && !exceedsSize) return;
    for (const msgId of this.#finishedIds) {
      const countIsFreed = !exceedsCount || this.#records.size <= Math.floor(this.#recordLimit * remaining);
      if (countIsFreed && (!exceedsSize || this.#bytes <= this.#sizeLimit * remaining)) return;
      const record = this.#records.get(msgId);
      this.#delete(msgId);
      if (record !== undefined) culled.push(record.task);
    }
  }

  #removeExpired(before: number): void {
    for (const record of this.#order.recordsAfter()) {
      const submitted = record.read('submitted');
      if (!(submitted instanceof Date) || record.isPending) continue;
      if (submitted.getTime() >= before) return;
      this.#delete(record.task.msg_id);
      this.#expiredTasks.push(record.task);
    }
  }

  async *#findSorted(
    query: QueryNode,
    sort: Sort | undefined,
    after: SortKeys | undefined,
  ): AsyncGenerator<readonly MemoryRecord[]> {
    if (sort === undefined) {
      yield* this.#findMatches(query);
      return;
    }
    if (isDefaultSort(sort) && namedIds(query) === undefined) {
      yield* this.#findMatches(
        query,
        this.#order.recordsAfter(after === undefined ? undefined : positionOf(after)),
      );
      return;
    }
    const isAfter = after === undefined ? undefined : isAfterKeys<MemoryRecord>(sort, after, readColumn);
    const unsorted: MemoryRecord[] = [];
    for await (const records of this.#findMatches(query)) {
      for (const record of records) if (isAfter?.(record) !== false) unsorted.push(record);
    }
    const sorted = sortRecords(unsorted, sort, readColumn);
    for (let i = 0; i < sorted.length; i += CHUNK_RECORDS) yield sorted.slice(i, i + CHUNK_RECORDS);
  }

  async *#findMatches(
    query: QueryNode,
    candidates = this.#candidates(query),
  ): AsyncGenerator<readonly MemoryRecord[]> {
    const matches = compilePredicate<MemoryRecord>(query, readColumn);
    let chunk: MemoryRecord[] = [];
    let sliceStart = performance.now();
    let uncheckedRecords = 0;
    for (const record of candidates) {
      if (matches(record)) chunk.push(record);
      const isFull = chunk.length >= CHUNK_RECORDS;
      if (isFull) {
        yield chunk;
        chunk = [];
      }
      if (isFull || ++uncheckedRecords >= RECORDS_PER_CHECK) {
        uncheckedRecords = 0;
        if (performance.now() - sliceStart > MAX_SCAN_TIME) {
          await nextTurn();
          sliceStart = performance.now();
        }
      }
    }
    if (chunk.length > 0) yield chunk;
  }

  /** Returns the records whose ids the query names, or all records if it names none. */
  #candidates(query: QueryNode): Iterable<MemoryRecord> {
    const ids = namedIds(query);
    if (ids === undefined) return this.#records.values();
    const named = [...ids].map((id) => this.#records.get(id)).filter((record) => record !== undefined);
    return named.sort((a, b) => a.sequence - b.sequence);
  }
}

/** Returns the ids to which the query limits its matches, or undefined if it does not limit them. */
function namedIds(query: QueryNode): Set<string> | undefined {
  if (query.kind === 'and') {
    for (const node of query.nodes) {
      const ids = namedIds(node);
      if (ids !== undefined) return ids;
    }
    return undefined;
  }
  if (query.kind !== 'test') return undefined;
  const { field, comparison } = query;
  if (field.column !== 'msg_id') return undefined;
  const isText = (value: unknown): value is string => typeof value === 'string';
  if (comparison.op === '$eq') return new Set([comparison.value].filter(isText));
  if (comparison.op === '$in') return new Set(comparison.values.filter(isText));
  return undefined;
}

const readColumn = (record: MemoryRecord, column: TaskKey): unknown => record.read(column);

function isDefaultSort(sort: Sort): boolean {
  return (
    sort.length === DEFAULT_SORT.length &&
    sort.every(({ field, descending }, i) => field.name === DEFAULT_SORT[i]?.field.name && !descending)
  );
}

function positionOf([submitted, msgId]: SortKeys): {
  readonly submitted: Date | null;
  readonly msgId: string;
} {
  return { submitted: submitted instanceof Date ? submitted : null, msgId: String(msgId) };
}
