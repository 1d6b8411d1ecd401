import type { TaskKey } from '@ipyparallel-js/protocol';
import {
  afterQuery,
  allOf,
  columnsOf,
  compareText,
  compilePredicate,
  isAfterKeys,
  type QueryNode,
  type Sort,
  sortRecords,
} from '@ipyparallel-js/protocol/internal';
import type { FindOptions, FoundTask } from '../task-database.js';
import { compileQuery, isScalar } from './compile-query.js';
import { ALL_BUT_BUFFERS, extrasOf } from './document.js';
import type { MongoConnection } from './mongo-connection.js';
import { CHUNK, project, type Row, type RowOptions, readRow, type TaskRows } from './task-rows.js';

const CHUNK_BYTES = 8 << 20;
const BY_ARRIVAL = { _id: 1 } as const;

/** Answers queries: relays what the server can be trusted with, and finishes the rest. */
export class TaskFinder {
  readonly #connection: MongoConnection;
  readonly #rows: TaskRows;

  constructor(connection: MongoConnection, rows: TaskRows) {
    this.#connection = connection;
    this.#rows = rows;
  }

  async get(msgIds: readonly string[], keys?: readonly TaskKey[]): Promise<Map<string, FoundTask>> {
    const wanted = keys ?? ALL_BUT_BUFFERS;
    const found = new Map<string, FoundTask>();
    if (msgIds.length > this.#connection.traits.listLength) {
      const ids = new Set(msgIds);
      for await (const task of this.#rows.tasks({}, wanted))
        if (ids.has(task.msg_id)) found.set(task.msg_id, task);
      return found;
    }
    for (let at = 0; at < msgIds.length; at += CHUNK) {
      const filter = { msg_id: { $in: msgIds.slice(at, at + CHUNK) } };
      for await (const task of this.#rows.tasks(filter, wanted)) found.set(task.msg_id, task);
    }
    return found;
  }

  async *find(query: QueryNode, options: FindOptions): AsyncGenerator<readonly FoundTask[]> {
    const { keys, sort, after, skip = 0, limit = Number.POSITIVE_INFINITY } = options;
    if (limit === 0) return;
    if (sort !== undefined && !this.#serverSorts(sort)) {
      yield* this.#sortedHere(query, options, sort);
      return;
    }
    const place = sort === undefined || after === undefined ? undefined : afterQuery(sort, after);
    const whole = place === undefined ? query : allOf([query, place]);
    const { filter, residual } = this.#compile(whole);
    const order = sort === undefined ? BY_ARRIVAL : serverSort(sort);
    const columns = new Set<TaskKey>(keys ?? ALL_BUT_BUFFERS);
    const wanted = [...columns];
    if (residual !== undefined) for (const column of columnsOf(residual)) columns.add(column);
    const cut = residual === undefined ? { skip, ...(Number.isFinite(limit) ? { limit } : {}) } : {};
    const matches = residual === undefined ? undefined : compilePredicate<Row>(residual, readRow);

    let chunk: FoundTask[] = [];
    let bytes = 0;
    let passed = 0;
    for await (const row of this.#rows.read(filter, columns, { sort: order, ...cut })) {
      if (matches !== undefined) {
        if (!matches(row)) continue;
        if (passed++ < skip) continue;
      }
      chunk.push(project(row, wanted));
      bytes += extrasOf(row.document).bytes ?? 0;
      if (chunk.length >= CHUNK || bytes > CHUNK_BYTES) {
        yield chunk;
        chunk = [];
        bytes = 0;
      }
      if (matches !== undefined && passed >= skip + limit) break;
    }
    if (chunk.length > 0) yield chunk;
  }

  async count(query: QueryNode): Promise<number> {
    const { filter, residual } = this.#compile(query);
    if (residual === undefined) return await this.#rows.ask((records) => records.countDocuments(filter));
    let count = 0;
    for await (const _row of this.matches(query)) count++;
    return count;
  }

  /** The matches with these columns, and those that the query is about. */
  async *matches(
    query: QueryNode,
    columns: readonly TaskKey[] = [],
    options: RowOptions = {},
  ): AsyncGenerator<Row> {
    const { filter, residual } = this.#compile(query);
    const matches = residual === undefined ? undefined : compilePredicate<Row>(residual, readRow);
    const read = new Set<TaskKey>(columns);
    if (residual !== undefined) for (const column of columnsOf(residual)) read.add(column);
    for await (const row of this.#rows.read(filter, read, options)) if (matches?.(row) !== false) yield row;
  }

  async history(): Promise<string[]> {
    const tasks: { readonly msgId: string; readonly submitted: string }[] = [];
    for await (const { msg_id, submitted } of this.#rows.tasks({ submitted: { $ne: null } }, ['submitted'])) {
      if (typeof submitted === 'string') tasks.push({ msgId: msg_id, submitted });
    }
    // The texts are of one form, so their order is that of the moments, to the microsecond.
    tasks.sort((a, b) => compareText(a.submitted, b.submitted) || compareText(a.msgId, b.msgId));
    return tasks.map(({ msgId }) => msgId);
  }

  #compile(query: QueryNode) {
    const { traits, outsideColumns } = this.#connection;
    return compileQuery(query, traits, outsideColumns);
  }

  #serverSorts(sort: Sort): boolean {
    const { outsideColumns } = this.#connection;
    return sort.every(
      ({ field }) => field.path.length === 0 && isScalar(field.column) && !outsideColumns.has(field.column),
    );
  }

  /** What no server orders in our way: only what is compared is read of all matches, the rest chunk by chunk. */
  async *#sortedHere(
    query: QueryNode,
    options: FindOptions,
    sort: Sort,
  ): AsyncGenerator<readonly FoundTask[]> {
    const { keys, after, skip = 0, limit = Number.POSITIVE_INFINITY } = options;
    const comesAfter = after === undefined ? undefined : isAfterKeys<Row>(sort, after, readRow);
    const columns = sort.map(({ field }) => field.column);
    const rows: Row[] = [];
    for await (const row of this.matches(query, columns)) if (comesAfter?.(row) !== false) rows.push(row);
    const ids = sortRecords(rows, sort, readRow)
      .slice(skip, skip + limit)
      .map(({ msgId }) => msgId);
    for (let at = 0; at < ids.length; at += CHUNK) {
      const chunk = ids.slice(at, at + CHUNK);
      const found = await this.get(chunk, keys);
      const tasks = chunk.map((id) => found.get(id)).filter((task) => task !== undefined);
      if (tasks.length > 0) yield tasks;
    }
  }
}

function serverSort(sort: Sort): Record<string, 1 | -1> {
  return Object.fromEntries(sort.map(({ field, descending }) => [field.name, descending ? -1 : 1]));
}
