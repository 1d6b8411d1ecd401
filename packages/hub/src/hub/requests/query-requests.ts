import { type Dict, InvalidQueryError, type Session, type TaskKey } from '@ipyparallel-js/protocol';
import {
  decodeCursor,
  describe,
  encodeCursor,
  type ProjectedKey,
  parseQuery,
  parseSort,
  type QueryNode,
  type Sort,
  type SortKeys,
  sortKeyReader,
  TASK_COLUMNS,
} from '@ipyparallel-js/protocol/internal';
import type { FoundTask, JsonField } from '../../db/task-database.js';
import { sizeOfTask } from '../../db/task-size.js';
import type { HubState } from './hub-state.js';
import {
  BUFFER_KEYS,
  DEFAULT_KEYS,
  projectTask,
  readStored,
  requestedKeys,
  withoutEmptyDisplay,
} from './record-projection.js';
import type { Reply, RequestHandler } from './reply.js';

/** A page ends with the record that reaches this many bytes, because packing more would block the hub and fill its memory. */
const PAGE_BYTES = 1 << 20;
/** A page also ends with this many records: records with few keys are small, but reading each takes time. */
const PAGE_RECORDS = 5_000;

/** The order and range of a page; Python clients never request one. */
interface Page {
  readonly sort: Sort;
  readonly after: SortKeys | undefined;
  readonly skip: number;
  readonly limit: number;
}

/**
 * `db_request`: the records that match a query. With `sort`, `skip`, `limit` or `after`, the reply is one page in order
 * and a cursor for the next page. With `count` it is the number of matches. Otherwise it has all matches in order of
 * arrival in one message, as in a Python hub.
 */
export function dbRequest(state: HubState, { codec }: Session): RequestHandler {
  const isJson = codec.packer.name === 'json';
  return async (request) => {
    const query = parseQuery(request['query'] ?? {}, { dates: 'text' });
    const keys = requestedKeys(request['keys']);
    const page = pageOf(request);
    if (request['count'] === true) {
      return replyOf(new RecordList(keys), { count: await state.db.count(query) });
    }
    if (page !== undefined) {
      const fields = isJson ? jsonFieldsOf(keys) : undefined;
      return (await jsonPage(state, query, fields, page)) ?? recordPage(state, query, keys, page);
    }
    const list = new RecordList(keys);
    for await (const tasks of state.db.find(query, { keys: list.columns })) tasks.forEach(list.add, list);
    return replyOf(list);
  };
}

/** `history_request`: all msg_ids in order of submission. */
export function historyRequest(state: HubState): RequestHandler {
  return async () => ({ content: { status: 'ok', history: await state.db.history() } });
}

async function recordPage(
  state: HubState,
  query: QueryNode,
  keys: readonly ProjectedKey[] | undefined,
  { sort, after, skip, limit }: Page,
): Promise<Reply> {
  const list = new RecordList(keys);
  const columns = [...new Set([...list.columns, ...sort.map(({ field }) => field.column)])];
  const maxRecords = Math.min(limit, PAGE_RECORDS);
  let last: FoundTask | undefined;
  let bytes = 0;
  const options = { keys: columns, sort, limit: maxRecords, ...(after === undefined ? {} : { after }) };
  scan: for await (const tasks of state.db.find(query, skip === 0 ? options : { ...options, skip })) {
    for (const task of tasks) {
      list.add(task);
      bytes += sizeOfTask(task);
      if (bytes < PAGE_BYTES && list.records.length < maxRecords) continue;
      last = task;
      break scan;
    }
  }
  const next = last === undefined ? null : encodeCursor(sort, sortKeyReader(sort, readStored)(last));
  return replyOf(list, { next });
}

/** A page from a store that returns records as JSON; undefined for other stores. */
async function jsonPage(
  { db }: HubState,
  query: QueryNode,
  fields: readonly JsonField[] | undefined,
  { sort, after, skip, limit }: Page,
): Promise<Reply | undefined> {
  if (db.readPage === undefined || fields === undefined) return undefined;
  const { json, last } = await db.readPage(query, fields, {
    ...{ sort, bytes: PAGE_BYTES, limit: Math.min(limit, PAGE_RECORDS) },
    ...(after === undefined ? {} : { after }),
    ...(skip === 0 ? {} : { skip }),
  });
  const next = last === undefined ? null : encodeCursor(sort, sortKeyReader(sort, readStored)(last));
  const parts: Uint8Array[] = [JSON_HEAD];
  for (const [i, records] of json.entries()) parts.push(...(i === 0 ? [records] : [JSON_COMMA, records]));
  const tail = { buffer_lens: null, result_buffer_lens: null, next };
  parts.push(Buffer.from(`],${JSON.stringify(tail).slice(1)}`, 'utf8'));
  return { content: {}, packedContent: Buffer.concat(parts) };
}

const JSON_HEAD = Buffer.from('{"status":"ok","records":[');
const JSON_COMMA = Buffer.from(',');

const DEFAULT_FIELDS: readonly JsonField[] = DEFAULT_KEYS.map((column) => ({
  ...{ name: column, column, optional: column === 'display_data' },
}));

/** The JSON fields of a record; undefined if buffers are requested, which JSON cannot hold. */
function jsonFieldsOf(keys: readonly ProjectedKey[] | undefined): readonly JsonField[] | undefined {
  if (keys === undefined) return DEFAULT_FIELDS;
  return keys.some(({ column }) => TASK_COLUMNS[column] === 'buffers') ? undefined : keys;
}

function pageOf(request: Dict): Page | undefined {
  const { sort: sortArgument, after, skip, limit } = request;
  if ([sortArgument, after, skip, limit].every((value) => value === undefined)) return undefined;
  const sort = parseSort(sortArgument);
  return {
    sort,
    after: after === undefined || after === null ? undefined : decodeCursor(sort, after),
    skip: readInteger('skip', skip, 0, 0),
    limit: readInteger('limit', limit, 1, Number.POSITIVE_INFINITY),
  };
}

function readInteger(name: string, value: unknown, minimum: number, defaultValue: number): number {
  if (value === undefined || value === null) return defaultValue;
  if (Number.isSafeInteger(value) && Number(value) >= minimum) return Number(value);
  throw new InvalidQueryError(`${name} must be an integer >= ${minimum}, got ${describe(value)}`);
}

/** Collects the records of a reply. */
class RecordList {
  readonly columns: readonly TaskKey[];
  readonly records: Dict[] = [];
  readonly buffers: Uint8Array[] = [];
  readonly #keys: readonly ProjectedKey[] | undefined;
  readonly #lengths: { readonly [K in (typeof BUFFER_KEYS)[number]]: number[] } = {
    buffers: [],
    result_buffers: [],
  };

  constructor(keys: readonly ProjectedKey[] | undefined) {
    this.#keys = keys;
    this.columns = keys?.map(({ column }) => column) ?? DEFAULT_KEYS;
  }

  add(task: FoundTask): void {
    for (const key of BUFFER_KEYS) {
      if (!this.columns.includes(key)) continue;
      const taskBuffers = task[key] ?? [];
      this.#lengths[key].push(taskBuffers.length);
      this.buffers.push(...taskBuffers);
    }
    this.records.push(this.#keys === undefined ? withoutEmptyDisplay(task) : projectTask(task, this.#keys));
  }

  /** The number of buffers of each record for a key; null if the key was not requested. */
  lengths(key: (typeof BUFFER_KEYS)[number]): readonly number[] | null {
    return this.columns.includes(key) ? this.#lengths[key] : null;
  }
}

function replyOf(list: RecordList, extraFields: Dict = {}): Reply {
  return {
    content: {
      status: 'ok',
      records: list.records,
      buffer_lens: list.lengths('buffers'),
      result_buffer_lens: list.lengths('result_buffers'),
      ...extraFields,
    },
    buffers: list.buffers,
  };
}
