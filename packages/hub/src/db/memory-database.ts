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
import { MemoryOrder } from './memory-order.js';
import { MemoryRecord } from './memory-record.js';
import {
  emptyTask,
  type FindOptions,
  type FoundTask,
  type Removed,
  type Selection,
  type StoredTask,
  type TaskChange,
  type TaskDatabase,
  type WriteOutcome,
} from './task-database.js';

/** The bounds of a memory store. Mirrors the traits of ipyparallel's DictDB. */
export interface MemoryDatabaseOptions {
  /** Records kept; 1024 by default. */
  readonly recordLimit?: number;
  /** Bytes kept, by estimate; 1 GiB by default. */
  readonly sizeLimit?: number;
  /** How long after its submission a task is kept, in ms; for ever by default. */
  readonly maxAge?: number;
  /** How much of a limit is freed when it is exceeded; 0.1 by default. */
  readonly cullFraction?: number;
}

/** How long a scan may hold the thread, in ms. */
const SLICE = 4;
const CHUNK = 256;

/** How often age is looked at, in ms. */
const AGE_INTERVAL = 5000;

/** No text in JavaScript can be longer than half a gigabyte; output beyond this is dropped. */
const MAX_OUTPUT = 1 << 28;

const yieldToOthers = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * Tasks in memory, for as long as the controller lives. Past its bounds those go that have been finished for longest;
 * a task whose result is still to come stays, whatever the bounds.
 */
export class MemoryDatabase implements TaskDatabase {
  readonly kind = 'memory';
  readonly #recordLimit: number;
  readonly #sizeLimit: number;
  readonly #cullFraction: number;
  readonly #records = new Map<string, MemoryRecord>();
  /** Those that may be culled, the longest finished first. */
  readonly #finished = new Set<string>();
  readonly #order = new MemoryOrder((record) => this.#records.get(record.task.msg_id) === record);
  #bytes = 0;
  #sequence = 0;
  readonly #timer: NodeJS.Timeout | undefined;
  #expired: StoredTask[] = [];

  constructor(options: MemoryDatabaseOptions = {}) {
    this.#recordLimit = options.recordLimit ?? 1024;
    this.#sizeLimit = options.sizeLimit ?? 1024 ** 3;
    this.#cullFraction = options.cullFraction ?? 0.1;
    const { maxAge = Number.POSITIVE_INFINITY } = options;
    if (!Number.isFinite(maxAge)) return;
    const interval = Math.max(100, Math.min(AGE_INTERVAL, maxAge));
    this.#timer = setInterval(() => this.#expire(Date.now() - maxAge), interval);
    this.#timer.unref();
  }

  async write(changes: readonly TaskChange[]): Promise<WriteOutcome> {
    const culled = this.#expired;
    this.#expired = [];
    for (const change of changes) {
      if (change.op === 'add') this.#add(change.task);
      else this.#update(change);
      this.#cull(culled);
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
    let at = 0;
    for await (const records of this.#inOrder(query, sort, after)) {
      const wanted = records.slice(Math.max(0, skip - at), Math.max(0, skip + limit - at));
      at += records.length;
      if (wanted.length > 0) yield wanted.map((record) => record.project(keys));
      if (at >= skip + limit) return;
    }
  }

  async count(query: QueryNode): Promise<number> {
    let count = 0;
    for await (const records of this.#matches(query)) count += records.length;
    return count;
  }

  async history(): Promise<string[]> {
    const submitted: StoredTask[] = [];
    for (const { task } of this.#records.values()) if (task.submitted !== null) submitted.push(task);
    // The texts are of one form, so their order is that of the moments, to the microsecond.
    submitted.sort(
      (a, b) => compareText(a.submitted ?? '', b.submitted ?? '') || compareText(a.msg_id, b.msg_id),
    );
    return submitted.map((task) => task.msg_id);
  }

  async remove(selection: Selection, options: { readonly dryRun?: boolean } = {}): Promise<Removed> {
    const ids: string[] = [];
    if ('msgIds' in selection) {
      ids.push(...new Set(selection.msgIds));
    } else {
      for await (const records of this.#matches(selection.query))
        for (const { task } of records) ids.push(task.msg_id);
    }
    const records = ids.flatMap((id) => this.#records.get(id) ?? []);
    const bytes = records.reduce((sum, record) => sum + record.bytes, 0);
    const msgIds = records.map(({ task }) => task.msg_id);
    if (options.dryRun !== true) for (const id of msgIds) this.#drop(id);
    return { count: msgIds.length, bytes, msgIds };
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#records.clear();
    this.#finished.clear();
    this.#order.clear();
    this.#bytes = 0;
  }

  #add(task: StoredTask): void {
    const existing = this.#records.get(task.msg_id);
    if (existing === undefined) {
      this.#insert(task);
      return;
    }
    const fresh = Object.entries(task).filter(([, value]) => value !== null && value !== '');
    this.#change(existing, Object.fromEntries(fresh));
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
      const whole = record.task[name] + text;
      fields[name] = whole.length > MAX_OUTPUT ? whole.slice(0, MAX_OUTPUT) : whole;
    }
    this.#change(record, fields);
  }

  #insert(task: StoredTask): MemoryRecord {
    const record = new MemoryRecord(task, this.#sequence++);
    this.#records.set(task.msg_id, record);
    this.#order.add(record);
    this.#bytes += record.bytes;
    if (!record.pending) this.#finished.add(task.msg_id);
    return record;
  }

  #change(record: MemoryRecord, fields: Record<string, unknown>): void {
    this.#bytes -= record.bytes;
    const submitted = Number(record.read('submitted') ?? Number.NaN);
    record.set(fields);
    if (!Object.is(Number(record.read('submitted') ?? Number.NaN), submitted)) {
      this.#order.remove();
      this.#order.add(record);
    }
    this.#bytes += record.bytes;
    if (record.pending) this.#finished.delete(record.task.msg_id);
    else this.#finished.add(record.task.msg_id);
  }

  #drop(msgId: string): void {
    const record = this.#records.get(msgId);
    if (record === undefined) return;
    this.#bytes -= record.bytes;
    this.#records.delete(msgId);
    this.#finished.delete(msgId);
    this.#order.remove();
  }

  #cull(culled: StoredTask[]): void {
    const room = 1 - this.#cullFraction;
    const tooMany = this.#records.size > this.#recordLimit;
    const tooMuch = this.#bytes > this.#sizeLimit;
    if (!tooMany && !tooMuch) return;
    for (const msgId of this.#finished) {
      const enoughRecords = !tooMany || this.#records.size <= Math.floor(this.#recordLimit * room);
      if (enoughRecords && (!tooMuch || this.#bytes <= this.#sizeLimit * room)) return;
      const record = this.#records.get(msgId);
      this.#drop(msgId);
      if (record !== undefined) culled.push(record.task);
    }
  }

  #expire(before: number): void {
    for (const record of this.#order.from()) {
      const submitted = record.read('submitted');
      if (!(submitted instanceof Date) || record.pending) continue;
      if (submitted.getTime() >= before) return;
      this.#drop(record.task.msg_id);
      this.#expired.push(record.task);
    }
  }

  async *#inOrder(
    query: QueryNode,
    sort: Sort | undefined,
    after: SortKeys | undefined,
  ): AsyncGenerator<readonly MemoryRecord[]> {
    if (sort === undefined) {
      yield* this.#matches(query);
      return;
    }
    if (isDefault(sort) && namedIds(query) === undefined) {
      yield* this.#matches(query, this.#order.from(after === undefined ? undefined : placeOf(after)));
      return;
    }
    const isAfter = after === undefined ? undefined : isAfterKeys<MemoryRecord>(sort, after, readColumn);
    const all: MemoryRecord[] = [];
    for await (const records of this.#matches(query)) {
      for (const record of records) if (isAfter?.(record) !== false) all.push(record);
    }
    const sorted = sortRecords(all, sort, readColumn);
    for (let i = 0; i < sorted.length; i += CHUNK) yield sorted.slice(i, i + CHUNK);
  }

  async *#matches(
    query: QueryNode,
    candidates = this.#candidates(query),
  ): AsyncGenerator<readonly MemoryRecord[]> {
    const matches = compilePredicate<MemoryRecord>(query, readColumn);
    let chunk: MemoryRecord[] = [];
    let since = performance.now();
    let sinceCheck = 0;
    for (const record of candidates) {
      if (matches(record)) chunk.push(record);
      const full = chunk.length >= CHUNK;
      if (full) {
        yield chunk;
        chunk = [];
      }
      if (full || ++sinceCheck >= 32) {
        sinceCheck = 0;
        if (performance.now() - since > SLICE) {
          await yieldToOthers();
          since = performance.now();
        }
      }
    }
    if (chunk.length > 0) yield chunk;
  }

  /** All records, or those of the ids that the query names. */
  #candidates(query: QueryNode): Iterable<MemoryRecord> {
    const ids = namedIds(query);
    if (ids === undefined) return this.#records.values();
    const named = [...ids].map((id) => this.#records.get(id)).filter((record) => record !== undefined);
    return named.sort((a, b) => a.sequence - b.sequence);
  }
}

/** The ids that every match must be among, if the query names any. */
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

function isDefault(sort: Sort): boolean {
  return (
    sort.length === DEFAULT_SORT.length &&
    sort.every(({ field, descending }, i) => field.name === DEFAULT_SORT[i]?.field.name && !descending)
  );
}

function placeOf([submitted, msgId]: SortKeys): { readonly submitted: Date | null; readonly msgId: string } {
  return { submitted: submitted instanceof Date ? submitted : null, msgId: String(msgId) };
}
