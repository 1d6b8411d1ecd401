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
import type { MongoConnection } from './mongo-connection.js';
import { ALL_BUT_BUFFERS, extrasOf } from './task-document.js';
import { CHUNK_RECORDS, projectRow, type Row, type RowOptions, readRow, type TaskRows } from './task-rows.js';

const CHUNK_BYTES = 8 << 20;
const ARRIVAL_ORDER = { _id: 1 } as const;

/** Runs queries: the server evaluates the filter, the predicate of the query language evaluates the residual. */
export class TaskFinder {
  readonly #connection: MongoConnection;
  readonly #rows: TaskRows;

  constructor(connection: MongoConnection, rows: TaskRows) {
    this.#connection = connection;
    this.#rows = rows;
  }

  async get(msgIds: readonly string[], keys?: readonly TaskKey[]): Promise<Map<string, FoundTask>> {
    const requestedKeys = keys ?? ALL_BUT_BUFFERS;
    const found = new Map<string, FoundTask>();
    if (msgIds.length > this.#connection.traits.maxListLength) {
      const ids = new Set(msgIds);
      for await (const task of this.#rows.tasks({}, requestedKeys))
        if (ids.has(task.msg_id)) found.set(task.msg_id, task);
      return found;
    }
    for (let at = 0; at < msgIds.length; at += CHUNK_RECORDS) {
      const filter = { msg_id: { $in: msgIds.slice(at, at + CHUNK_RECORDS) } };
      for await (const task of this.#rows.tasks(filter, requestedKeys)) found.set(task.msg_id, task);
    }
    return found;
  }

  async *find(query: QueryNode, options: FindOptions): AsyncGenerator<readonly FoundTask[]> {
    const { keys, sort, after, skip = 0, limit = Number.POSITIVE_INFINITY } = options;
    if (limit === 0) return;
    if (sort !== undefined && !this.#canServerSort(sort)) {
      yield* this.#findAndSort(query, options, sort);
      return;
    }
    const position = sort === undefined || after === undefined ? undefined : afterQuery(sort, after);
    const combined = position === undefined ? query : allOf([query, position]);
    const { filter, residual } = this.#compile(combined);
    const order = sort === undefined ? ARRIVAL_ORDER : toServerSort(sort);
    const columns = new Set<TaskKey>(keys ?? ALL_BUT_BUFFERS);
    const requestedKeys = [...columns];
    if (residual !== undefined) for (const column of columnsOf(residual)) columns.add(column);
    const range = residual === undefined ? { skip, ...(Number.isFinite(limit) ? { limit } : {}) } : {};
    const matches = residual === undefined ? undefined : compilePredicate<Row>(residual, readRow);

    let chunk: FoundTask[] = [];
    let bytes = 0;
    let matchCount = 0;
    for await (const row of this.#rows.read(filter, columns, { sort: order, ...range })) {
      if (matches !== undefined) {
        if (!matches(row)) continue;
        if (matchCount++ < skip) continue;
      }
      chunk.push(projectRow(row, requestedKeys));
      bytes += extrasOf(row.document).bytes ?? 0;
      if (chunk.length >= CHUNK_RECORDS || bytes > CHUNK_BYTES) {
        yield chunk;
        chunk = [];
        bytes = 0;
      }
      if (matches !== undefined && matchCount >= skip + limit) break;
    }
    if (chunk.length > 0) yield chunk;
  }

  async count(query: QueryNode): Promise<number> {
    const { filter, residual } = this.#compile(query);
    if (residual === undefined) return await this.#rows.run((records) => records.countDocuments(filter));
    let count = 0;
    for await (const _row of this.findMatches(query)) count++;
    return count;
  }

  /** Yields the matches with these columns and those that the residual needs. */
  async *findMatches(
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
    // All texts have the same format, so text order is time order, to the microsecond.
    tasks.sort((a, b) => compareText(a.submitted, b.submitted) || compareText(a.msgId, b.msgId));
    return tasks.map(({ msgId }) => msgId);
  }

  #compile(query: QueryNode) {
    const { traits, externalColumns } = this.#connection;
    return compileQuery(query, traits, externalColumns);
  }

  #canServerSort(sort: Sort): boolean {
    const { externalColumns } = this.#connection;
    return sort.every(
      ({ field }) => field.path.length === 0 && isScalar(field.column) && !externalColumns.has(field.column),
    );
  }

  /** Sorts in this process if the server cannot: reads the sort columns of all matches, then the records in chunks. */
  async *#findAndSort(
    query: QueryNode,
    options: FindOptions,
    sort: Sort,
  ): AsyncGenerator<readonly FoundTask[]> {
    const { keys, after, skip = 0, limit = Number.POSITIVE_INFINITY } = options;
    const isAfter = after === undefined ? undefined : isAfterKeys<Row>(sort, after, readRow);
    const columns = sort.map(({ field }) => field.column);
    const rows: Row[] = [];
    for await (const row of this.findMatches(query, columns)) if (isAfter?.(row) !== false) rows.push(row);
    const ids = sortRecords(rows, sort, readRow)
      .slice(skip, skip + limit)
      .map(({ msgId }) => msgId);
    for (let at = 0; at < ids.length; at += CHUNK_RECORDS) {
      const chunk = ids.slice(at, at + CHUNK_RECORDS);
      const found = await this.get(chunk, keys);
      const tasks = chunk.map((id) => found.get(id)).filter((task) => task !== undefined);
      if (tasks.length > 0) yield tasks;
    }
  }
}

function toServerSort(sort: Sort): Record<string, 1 | -1> {
  return Object.fromEntries(sort.map(({ field, descending }) => [field.name, descending ? -1 : 1]));
}
