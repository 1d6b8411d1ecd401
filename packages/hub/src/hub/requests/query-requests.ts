import { type Dict, InvalidQueryError, type Session, type TaskKey } from '@ipyparallel-js/protocol';
import {
  decodeCursor,
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
  askedFor,
  BUFFER_KEYS,
  DEFAULT_KEYS,
  projectTask,
  readStored,
  withoutEmptyDisplay,
} from './record-projection.js';
import type { Reply, RequestHandler } from './reply.js';

/** A page ends with the record that reaches this many bytes: packing more would hold up the hub and its memory. */
const PAGE_BYTES = 1 << 20;
/** Or with this many records: those of few keys are small, but each has to be read. */
const PAGE_RECORDS = 5_000;

/** What a client of ours may say of the answer beside its keys; a stock client never does. */
interface Page {
  readonly sort: Sort;
  readonly after: SortKeys | undefined;
  readonly skip: number;
  readonly limit: number;
}

/**
 * `db_request`: the records that match a query. With `sort`, `skip`, `limit` or `after` one page of them, in order,
 * and where the next begins; with `count` only how many there are; else all of them in the order of arrival, in one
 * message, as a stock hub does.
 */
export function dbRequest(state: HubState, { codec }: Session): RequestHandler {
  const isJson = codec.packer.name === 'json';
  return async (request) => {
    const query = parseQuery(request['query'] ?? {}, { dates: 'text' });
    const asked = askedFor(request['keys']);
    const page = pageOf(request);
    if (request['count'] === true) {
      return replyOf(new RecordList(asked), { count: await state.db.count(query) });
    }
    if (page !== undefined) {
      const fields = isJson ? jsonFieldsOf(asked) : undefined;
      return (await jsonPage(state, query, fields, page)) ?? onePage(state, query, asked, page);
    }
    const list = new RecordList(asked);
    for await (const tasks of state.db.find(query, { keys: list.columns })) tasks.forEach(list.add, list);
    return replyOf(list);
  };
}

/** `history_request`: all msg_ids in the order of submission. */
export function historyRequest(state: HubState): RequestHandler {
  return async () => ({ content: { status: 'ok', history: await state.db.history() } });
}

async function onePage(
  state: HubState,
  query: QueryNode,
  asked: readonly ProjectedKey[] | undefined,
  { sort, after, skip, limit }: Page,
): Promise<Reply> {
  const list = new RecordList(asked);
  const keys = [...new Set([...list.columns, ...sort.map(({ field }) => field.column)])];
  const most = Math.min(limit, PAGE_RECORDS);
  let last: FoundTask | undefined;
  let bytes = 0;
  const options = { keys, sort, limit: most, ...(after === undefined ? {} : { after }) };
  scan: for await (const tasks of state.db.find(query, skip === 0 ? options : { ...options, skip })) {
    for (const task of tasks) {
      list.add(task);
      bytes += sizeOfTask(task);
      if (bytes < PAGE_BYTES && list.records.length < most) continue;
      last = task;
      break scan;
    }
  }
  const next = last === undefined ? null : encodeCursor(sort, sortKeyReader(sort, readStored)(last));
  return replyOf(list, { next });
}

/** The same from a store that has the records as JSON; undefined from others. */
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
  const rest = { buffer_lens: null, result_buffer_lens: null, next };
  parts.push(Buffer.from(`],${JSON.stringify(rest).slice(1)}`, 'utf8'));
  return { content: {}, packedContent: Buffer.concat(parts) };
}

const JSON_HEAD = Buffer.from('{"status":"ok","records":[');
const JSON_COMMA = Buffer.from(',');

const DEFAULT_FIELDS: readonly JsonField[] = DEFAULT_KEYS.map((column) => ({
  ...{ name: column, column, optional: column === 'display_data' },
}));

/** What a record has in an answer; undefined when buffers are asked for, which travel beside it. */
function jsonFieldsOf(asked: readonly ProjectedKey[] | undefined): readonly JsonField[] | undefined {
  if (asked === undefined) return DEFAULT_FIELDS;
  return asked.some(({ column }) => TASK_COLUMNS[column] === 'buffers') ? undefined : asked;
}

function pageOf(request: Dict): Page | undefined {
  const { sort: asked, after, skip, limit } = request;
  if ([asked, after, skip, limit].every((value) => value === undefined)) return undefined;
  const sort = parseSort(asked);
  return {
    sort,
    after: after === undefined || after === null ? undefined : decodeCursor(sort, after),
    skip: wholeNumber('skip', skip, 0, 0),
    limit: wholeNumber('limit', limit, 1, Number.POSITIVE_INFINITY),
  };
}

function wholeNumber(name: string, value: unknown, least: number, otherwise: number): number {
  if (value === undefined || value === null) return otherwise;
  if (Number.isSafeInteger(value) && Number(value) >= least) return Number(value);
  throw new InvalidQueryError(`${name} is a whole number, ${least} or more`);
}

/** The records of a reply as they are being gathered. */
class RecordList {
  readonly columns: readonly TaskKey[];
  readonly records: Dict[] = [];
  readonly buffers: Uint8Array[] = [];
  readonly #asked: readonly ProjectedKey[] | undefined;
  readonly #lengths: { readonly [K in (typeof BUFFER_KEYS)[number]]: number[] } = {
    buffers: [],
    result_buffers: [],
  };

  constructor(asked: readonly ProjectedKey[] | undefined) {
    this.#asked = asked;
    this.columns = asked?.map(({ column }) => column) ?? DEFAULT_KEYS;
  }

  add(task: FoundTask): void {
    for (const key of BUFFER_KEYS) {
      if (!this.columns.includes(key)) continue;
      const own = task[key] ?? [];
      this.#lengths[key].push(own.length);
      this.buffers.push(...own);
    }
    this.records.push(this.#asked === undefined ? withoutEmptyDisplay(task) : projectTask(task, this.#asked));
  }

  /** How many buffers each record has of a key; null when it was not asked for. */
  lengths(key: (typeof BUFFER_KEYS)[number]): readonly number[] | null {
    return this.columns.includes(key) ? this.#lengths[key] : null;
  }
}

function replyOf(list: RecordList, more: Dict = {}): Reply {
  return {
    content: {
      status: 'ok',
      records: list.records,
      buffer_lens: list.lengths('buffers'),
      result_buffer_lens: list.lengths('result_buffers'),
      ...more,
    },
    buffers: list.buffers,
  };
}
