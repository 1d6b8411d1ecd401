import {
  type Dict,
  HubError,
  type MessageContents,
  NoDatabaseError,
  ProtocolError,
  type TaskKey,
} from '@ipyparallel-js/protocol';
import {
  decodeRecord,
  describe,
  isDict,
  type RecordBuffers,
  recordDecoder,
  TASK_COLUMNS,
} from '@ipyparallel-js/protocol/internal';
import type { Deadline, WaitOptions } from '@ipyparallel-js/wire';
import type { HubRequests, OkContent } from './hub-requests.js';
import { type HubTraits, OUR_TRAITS } from './query-planner.js';
import type { Row } from './record-query.js';

/** The decoded reply to one `db_request`. */
export interface RecordPage {
  readonly rows: Row[];
  /** The cursor at which the next page begins; undefined after the last page. */
  readonly next: string | undefined;
}

/** Sends `db_request` and `history_request`, decodes their replies, and probes the traits of a Python hub. */
export class RecordRequests {
  readonly #requests: HubRequests;
  readonly #answersQueries: boolean;
  #hasLabel: Promise<boolean> | undefined;
  #hasIndex: boolean | undefined;

  /** `answersQueries`: whether the hub answers the whole query language. */
  constructor(requests: HubRequests, answersQueries: boolean) {
    this.#requests = requests;
    this.#answersQueries = answersQueries;
  }

  /** The hub's traits. Probes a Python hub once for `label`, if the query depends on that key. */
  async traits(needLabel: boolean, deadline: Deadline): Promise<HubTraits> {
    if (this.#answersQueries) return OUR_TRAITS;
    if (!needLabel) return { kind: 'stock', label: false };
    this.#hasLabel ??= this.#probeLabel(deadline).catch((error) => {
      this.#hasLabel = undefined;
      throw error;
    });
    return { kind: 'stock', label: await this.#hasLabel };
  }

  /** Reads the given columns of the records that the hub finds for a query in wire form. */
  async records(
    query: Dict,
    columns: readonly TaskKey[],
    allKeys: boolean,
    traits: HubTraits,
    deadline: Deadline,
  ): Promise<Row[]> {
    const read = async (keys: readonly TaskKey[] | null, decoded: readonly TaskKey[]): Promise<Row[]> =>
      (await this.page({ query, keys }, decoded, deadline)).rows;
    if (traits.kind === 'ours') return read(allKeys ? null : columns, columns);
    // Python hubs refuse a key that some record lacks; a request for all keys returns it where it exists.
    const buffers = columns.filter((column) => TASK_COLUMNS[column] === 'buffers');
    const plain = columns.filter((column) => !buffers.includes(column));
    const all = allKeys || columns.includes('display_data');
    const supported = columns.filter((column) => traits.label || column !== 'label');
    if (!all) return read(supported, columns);
    const rows = await read(null, plain);
    if (buffers.length === 0) return rows;
    const bufferRows = new Map<string, Row>();
    for (const row of await read(buffers, ['msg_id', ...buffers])) bufferRows.set(row.msg_id, row);
    return rows.map((row) => ({ ...bufferRows.get(row.msg_id), ...row }));
  }

  /** Sends one `db_request` and decodes its reply. */
  async page(
    request: MessageContents['db_request'],
    columns: readonly TaskKey[],
    deadline: Deadline,
  ): Promise<RecordPage> {
    const { content, buffers } = await this.#requests.request('db_request', request, remainingWait(deadline));
    const { buffer_lens: lens = null, result_buffer_lens: resultLens = null } = content;
    const readBuffers = bufferReader(lens, resultLens, buffers);
    const decodePlain = lens === null && resultLens === null ? recordDecoder(columns) : undefined;
    const rows = recordsOf(content).map((wire: unknown, i) => {
      if (!isDict(wire) || typeof wire.msg_id !== 'string')
        throw new ProtocolError('each record of a db_reply must be an object with a string msg_id');
      return (
        decodePlain === undefined ? decodeRecord(wire, columns, readBuffers(i)) : decodePlain(wire)
      ) as Row;
    });
    return { rows, next: typeof content.next === 'string' ? content.next : undefined };
  }

  /** Lets the hub count the matches of a query. */
  async count(query: Dict, deadline: Deadline): Promise<number> {
    const { content } = await this.#requests.request(
      'db_request',
      { query, keys: ['msg_id'], count: true },
      remainingWait(deadline),
    );
    if (!Number.isSafeInteger(content.count))
      throw new ProtocolError(`count of a db_reply must be an integer, got ${describe(content.count)}`);
    return Number(content.count);
  }

  /** Reads all ids in the order of submission. Cheap on every hub: no record is copied. */
  async history(deadline: Deadline): Promise<string[]> {
    const { content } = await this.#requests.request('history_request', {}, remainingWait(deadline));
    if (!Array.isArray(content.history))
      throw new ProtocolError(
        `history of a history_reply must be a list of msg_ids, got ${describe(content.history)}`,
      );
    return content.history.map(String);
  }

  /**
   * Whether the Python hub's database finds ids by an index, as SQLite does; DictDB scans all records and copies each
   * match. A request with an empty list of keys tells them apart: SQLite then returns records without their id.
   */
  async hasIndex(someId: string, deadline: Deadline): Promise<boolean> {
    if (this.#hasIndex !== undefined) return this.#hasIndex;
    const { content } = await this.#requests.request(
      'db_request',
      { query: { msg_id: { $eq: someId } }, keys: [] },
      remainingWait(deadline),
    );
    const [record] = recordsOf(content);
    if (!isDict(record)) return false;
    this.#hasIndex = !Object.hasOwn(record, 'msg_id');
    return this.#hasIndex;
  }

  // `label` and `$glob` were added in the same release, and a request with `$glob` fails cleanly on older hubs.
  async #probeLabel(deadline: Deadline): Promise<boolean> {
    try {
      await this.page({ query: { msg_id: { $glob: '-' } }, keys: ['msg_id'] }, ['msg_id'], deadline);
      return true;
    } catch (error) {
      if (error instanceof HubError && !(error instanceof NoDatabaseError)) return false;
      throw error;
    }
  }
}

function recordsOf(content: OkContent<'db_request'>): readonly unknown[] {
  if (!Array.isArray(content.records))
    throw new ProtocolError(`records of a db_reply must be a list, got ${describe(content.records)}`);
  return content.records;
}

/** The remaining time of a deadline as the options of one request. */
export function remainingWait(deadline: Deadline): WaitOptions {
  return {
    timeout: deadline.remaining(),
    ...(deadline.signal === undefined ? {} : { signal: deadline.signal }),
  };
}

/** Assigns the buffers of a message to its records. The returned function must be called for each record in order. */
export function bufferReader(
  buffers: readonly number[] | null,
  resultBuffers: readonly number[] | null,
  frames: readonly Buffer[],
): (index: number) => RecordBuffers {
  let at = 0;
  const read = (lens: readonly number[] | null, index: number): Buffer[] | undefined => {
    if (lens === null) return undefined;
    const length = Array.isArray(lens) ? (lens as unknown[])[index] : undefined;
    if (typeof length !== 'number' || !(length >= 0) || length % 1 !== 0 || at + length > frames.length) {
      throw new ProtocolError(
        `the buffer lengths of a db_reply must be counts whose sum is at most its ${frames.length} buffers, got ${describe(length)} for record ${index}`,
      );
    }
    at += length;
    return frames.slice(at - length, at);
  };
  return (index) => {
    // The buffers of a record's request precede those of its result.
    const request = read(buffers, index);
    const result = read(resultBuffers, index);
    return {
      ...(request === undefined ? {} : { buffers: request }),
      ...(result === undefined ? {} : { result_buffers: result }),
    };
  };
}
