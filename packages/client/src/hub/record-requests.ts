import {
  type Dict,
  HubError,
  type HubInfo,
  type MessageContents,
  NoDatabaseError,
  ProtocolError,
  type TaskKey,
} from '@ipyparallel-js/protocol';
import {
  decodeRecord,
  isDict,
  type RecordBuffers,
  recordDecoder,
  TASK_COLUMNS,
} from '@ipyparallel-js/protocol/internal';
import type { Deadline, WaitOptions } from '@ipyparallel-js/wire';
import type { HubRequests, OkContent } from './hub-requests.js';
import type { HubTraits } from './query-planner.js';
import type { Row } from './record-query.js';

/** What a request for records brought. */
export interface RecordPage {
  readonly rows: Row[];
  /** Where the next page begins; undefined when there is none. */
  readonly next: string | undefined;
}

/** `db_request` and `history_request` with their replies decoded, and what must be known of a hub to ask well. */
export class RecordRequests {
  /** What our hub says of itself; undefined for a stock one. */
  readonly ours: HubInfo | undefined;
  readonly #requests: HubRequests;
  #label: Promise<boolean> | undefined;
  #empties: boolean | undefined;

  constructor(requests: HubRequests, hub: HubInfo | undefined) {
    this.#requests = requests;
    this.ours = hub?.features.includes('query') === true ? hub : undefined;
  }

  /** What is known of the hub. A stock one is asked, once, whether its records have `label`, if that matters. */
  async traits(needLabel: boolean, deadline: Deadline): Promise<HubTraits> {
    if (this.ours !== undefined) return { kind: 'ours', info: this.ours };
    if (!needLabel) return { kind: 'stock', label: false };
    this.#label ??= this.#probeLabel(deadline).catch((error) => {
      this.#label = undefined;
      throw error;
    });
    return { kind: 'stock', label: await this.#label };
  }

  /** The records that a hub gives for a query of its own language, with these columns. */
  async records(
    query: Dict,
    columns: readonly TaskKey[],
    everything: boolean,
    traits: HubTraits,
    deadline: Deadline,
  ): Promise<Row[]> {
    const ask = async (keys: readonly TaskKey[] | null, read: readonly TaskKey[]): Promise<Row[]> =>
      (await this.page({ query, keys }, read, deadline)).rows;
    if (traits.kind === 'ours') return ask(everything ? null : columns, columns);
    // Stock hubs refuse a key that not every record has; asking for everything brings it where it is.
    const buffers = columns.filter((column) => TASK_COLUMNS[column] === 'buffers');
    const plain = columns.filter((column) => !buffers.includes(column));
    const all = everything || columns.includes('display_data');
    const wanted = columns.filter((column) => traits.label || column !== 'label');
    if (!all) return ask(wanted, columns);
    const rows = await ask(null, plain);
    if (buffers.length === 0) return rows;
    const beside = new Map<string, Row>();
    for (const row of await ask(buffers, ['msg_id', ...buffers])) beside.set(row.msg_id, row);
    return rows.map((row) => ({ ...beside.get(row.msg_id), ...row }));
  }

  /** One request for records. */
  async page(
    request: MessageContents['db_request'],
    columns: readonly TaskKey[],
    deadline: Deadline,
  ): Promise<RecordPage> {
    const { content, buffers } = await this.#requests.request('db_request', request, left(deadline));
    const { buffer_lens: lens = null, result_buffer_lens: resultLens = null } = content;
    const take = bufferReader(lens, resultLens, buffers);
    const plain = lens === null && resultLens === null ? recordDecoder(columns) : undefined;
    const rows = recordsOf(content).map((wire: unknown, i) => {
      if (!isDict(wire) || typeof wire.msg_id !== 'string')
        throw new ProtocolError('a db_reply holds a record without msg_id');
      return (plain === undefined ? decodeRecord(wire, columns, take(i)) : plain(wire)) as Row;
    });
    return { rows, next: typeof content.next === 'string' ? content.next : undefined };
  }

  /** How many records match, by our hub's count. */
  async count(query: Dict, deadline: Deadline): Promise<number> {
    const { content } = await this.#requests.request(
      'db_request',
      { query, keys: ['msg_id'], count: true },
      left(deadline),
    );
    if (!Number.isSafeInteger(content.count))
      throw new ProtocolError('a db_reply to a count holds no number of records');
    return Number(content.count);
  }

  /** All ids in the order of submission. Cheap on every hub: no record is copied for it. */
  async history(deadline: Deadline): Promise<string[]> {
    const { content } = await this.#requests.request('history_request', {}, left(deadline));
    if (!Array.isArray(content.history)) throw new ProtocolError('a history_reply holds no list of msg_ids');
    return content.history.map(String);
  }

  /**
   * Whether the stock hub's database looks up ids by an index, as SQLite does; DictDB goes through every record, and
   * copies each match. Told by an empty list of keys: SQLite gives records that have not even their id then.
   */
  async hasIndex(someId: string, deadline: Deadline): Promise<boolean> {
    if (this.#empties !== undefined) return this.#empties;
    const { content } = await this.#requests.request(
      'db_request',
      { query: { msg_id: { $eq: someId } }, keys: [] },
      left(deadline),
    );
    const [record] = recordsOf(content);
    if (!isDict(record)) return false;
    this.#empties = !Object.hasOwn(record, 'msg_id');
    return this.#empties;
  }

  // `label` and `$glob` came in the same release, and asking with `$glob` fails cleanly everywhere else.
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
  if (!Array.isArray(content.records)) throw new ProtocolError('a db_reply holds no list of records');
  return content.records;
}

/** What is left of a deadline, as the options of one request. */
export function left(deadline: Deadline): WaitOptions {
  return {
    timeout: deadline.remaining(),
    ...(deadline.signal === undefined ? {} : { signal: deadline.signal }),
  };
}

/** Deals the buffers of a message out to its records, in their order. */
export function bufferReader(
  buffers: readonly number[] | null,
  resultBuffers: readonly number[] | null,
  frames: readonly Buffer[],
): (index: number) => RecordBuffers {
  let at = 0;
  const take = (lens: readonly number[] | null, index: number): Buffer[] | undefined => {
    if (lens === null) return undefined;
    const length = Array.isArray(lens) ? (lens as unknown[])[index] : undefined;
    if (typeof length !== 'number' || !(length >= 0) || length % 1 !== 0 || at + length > frames.length) {
      throw new ProtocolError('a db_reply announces other buffers than it carries');
    }
    at += length;
    return frames.slice(at - length, at);
  };
  return (index) => {
    // Per record: first those of the request, then those of the result.
    const request = take(buffers, index);
    const result = take(resultBuffers, index);
    return {
      ...(request === undefined ? {} : { buffers: request }),
      ...(result === undefined ? {} : { result_buffers: result }),
    };
  };
}
