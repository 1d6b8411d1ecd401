import {
  type Dict,
  HubError,
  type HubInfo,
  NoDatabaseError,
  ProtocolError,
  type TaskKey,
  type TaskRecord,
} from '@ipyparallel-js/protocol';
import {
  columnsOf,
  compareText,
  decodeRecord,
  isDict,
  type ProjectedKey,
  projectRecord,
  type QueryNode,
  type RecordBuffers,
  recordPredicate,
  TASK_COLUMNS,
  TASK_KEYS,
  testsOf,
} from '@ipyparallel-js/protocol/internal';
import type { Deadline } from '@ipyparallel-js/wire';
import { type HubTraits, neverMatches, planQuery } from './hub-plan.js';
import type { HubRequests } from './hub-requests.js';
import { MAX_LIST } from './stock-plan.js';

/** A record with the columns that were asked for. */
export type Row = Partial<TaskRecord> & { readonly msg_id: string };

/** A validated question to the Task Database. */
export interface Question {
  readonly node: QueryNode;
  /** The keys of the answer; undefined for all but the buffers. */
  readonly keys: readonly ProjectedKey[] | undefined;
}

/** A validated record as it is handed out: its keys are those asked for. */
export type ProjectedRow = { readonly [key: string]: unknown };

const FULL_KEYS: readonly ProjectedKey[] = TASK_KEYS.filter((key) => TASK_COLUMNS[key] !== 'buffers').map(
  (column) => ({ name: column, column }),
);

/** Records are fetched in chunks of this size when they are streamed. */
const CHUNK = 200;

/** The hub's Task Database as a client sees it: one meaning of a query, whatever the hub makes of it. */
export class HubDatabase {
  readonly #requests: HubRequests;
  readonly #ours: HubInfo | undefined;
  #label: Promise<boolean> | undefined;

  constructor(requests: HubRequests, ours: HubInfo | undefined) {
    this.#requests = requests;
    this.#ours = ours?.features.includes('query') === true ? ours : undefined;
  }

  /** Every match, by `submitted`, then `msg_id`; records without a date of submission first. */
  async find(question: Question, deadline: Deadline): Promise<ProjectedRow[]> {
    const keys = question.keys ?? FULL_KEYS;
    const rows = await this.#matches(
      question.node,
      columnsAsked(keys),
      question.keys === undefined,
      deadline,
    );
    return projectAll(rows, keys);
  }

  /** The same, a chunk at a time: first the ids, then the records, so that neither side holds all of them. */
  async *stream(
    question: Question,
    newDeadline: () => Deadline,
  ): AsyncGenerator<ProjectedRow, void, undefined> {
    const keys = question.keys ?? FULL_KEYS;
    const ids = await this.#matches(question.node, [], false, newDeadline());
    for (let i = 0; i < ids.length; i += CHUNK) {
      const chunk = ids.slice(i, i + CHUNK).map((row) => row.msg_id);
      // A record may have gone, or have ceased to match, since its id was read.
      const node: QueryNode = { kind: 'and', nodes: [byIds(chunk), question.node] };
      yield* projectAll(await this.#matches(node, columnsAsked(keys), false, newDeadline()), keys);
    }
  }

  /** Records by id: those that exist, in no particular order. */
  async byId(
    ids: readonly string[],
    columns: readonly TaskKey[],
    deadline: Deadline,
  ): Promise<Map<string, Row>> {
    const found = new Map<string, Row>();
    for (const row of await this.#matches(byIds(ids), columns, false, deadline)) found.set(row.msg_id, row);
    return found;
  }

  async #matches(
    node: QueryNode,
    asked: readonly TaskKey[],
    everything: boolean,
    deadline: Deadline,
  ): Promise<Row[]> {
    if (neverMatches(node)) return [];
    const read = columnsOf(testsOf(node));
    const traits = await this.#traits(read.has('label') || asked.includes('label'), deadline);
    const plan = planQuery(node, traits);
    const columns = new Set<TaskKey>(['msg_id', 'submitted', ...asked, ...(plan.residual ? read : [])]);
    const rows = new Map<string, Row>();
    const matches = plan.residual ? recordPredicate(node) : undefined;
    for (const query of plan.queries) {
      for (const row of await this.#ask(query, [...columns], everything, traits, deadline)) {
        // Asked later is seen later: a record of two answers is kept as it is now.
        if (matches === undefined || matches(row)) rows.set(row.msg_id, row);
        else rows.delete(row.msg_id);
      }
    }
    return [...rows.values()].sort(bySubmission);
  }

  async #ask(
    query: Dict,
    columns: readonly TaskKey[],
    everything: boolean,
    traits: HubTraits,
    deadline: Deadline,
  ): Promise<Row[]> {
    if (traits.kind === 'ours') return this.#request(query, everything ? null : columns, columns, deadline);
    // Stock hubs refuse a key that not every record has; asking for everything brings it where it is.
    const buffers = columns.filter((column) => TASK_COLUMNS[column] === 'buffers');
    const plain = columns.filter((column) => !buffers.includes(column));
    const all = everything || columns.includes('display_data');
    const wanted = columns.filter((column) => traits.label || column !== 'label');
    if (!all) return this.#request(query, wanted, columns, deadline);
    const rows = await this.#request(query, null, plain, deadline);
    if (buffers.length === 0) return rows;
    const beside = new Map<string, Row>();
    for (const row of await this.#request(query, buffers, ['msg_id', ...buffers], deadline))
      beside.set(row.msg_id, row);
    return rows.map((row) => ({ ...beside.get(row.msg_id), ...row }));
  }

  async #request(
    query: Dict,
    keys: readonly TaskKey[] | null,
    columns: readonly TaskKey[],
    deadline: Deadline,
  ): Promise<Row[]> {
    const { content, buffers } = await this.#requests.request(
      'db_request',
      { query, keys },
      {
        timeout: deadline.remaining(),
        ...(deadline.signal === undefined ? {} : { signal: deadline.signal }),
      },
    );
    const take = bufferReader(content.buffer_lens ?? null, content.result_buffer_lens ?? null, buffers);
    if (!Array.isArray(content.records)) throw new ProtocolError('a db_reply holds no list of records');
    return content.records.map((wire: unknown, i) => {
      if (!isDict(wire) || typeof wire.msg_id !== 'string')
        throw new ProtocolError('a db_reply holds a record without msg_id');
      return decodeRecord(wire, columns, take(i)) as Row;
    });
  }

  async #traits(needLabel: boolean, deadline: Deadline): Promise<HubTraits> {
    if (this.#ours !== undefined) return { kind: 'ours', info: this.#ours };
    if (!needLabel) return { kind: 'stock', label: false };
    this.#label ??= this.#probeLabel(deadline).catch((error) => {
      this.#label = undefined;
      throw error;
    });
    return { kind: 'stock', label: await this.#label };
  }

  // `label` and `$glob` came in the same release, and asking with `$glob` fails cleanly everywhere else.
  async #probeLabel(deadline: Deadline): Promise<boolean> {
    try {
      await this.#request({ msg_id: { $glob: '-' } }, ['msg_id'], ['msg_id'], deadline);
      return true;
    } catch (error) {
      if (error instanceof HubError && !(error instanceof NoDatabaseError)) return false;
      throw error;
    }
  }
}

function projectAll(rows: readonly Row[], keys: readonly ProjectedKey[]): ProjectedRow[] {
  // Rows that hold just what was asked for, under its own names, are the answer as they are.
  const [first] = rows;
  const same = keys.every(({ name, column }) => name === column);
  if (first !== undefined && same && Object.keys(first).length === keys.length) return [...rows];
  return rows.map((row) => projectRecord(row, keys));
}

function columnsAsked(keys: readonly ProjectedKey[]): TaskKey[] {
  return keys.map(({ column }) => column);
}

function byIds(ids: readonly string[]): QueryNode {
  return {
    kind: 'test',
    field: { name: 'msg_id', column: 'msg_id', path: [] },
    comparison: { op: '$in', values: ids },
  };
}

function bySubmission(a: Row, b: Row): number {
  const x = a.submitted?.getTime() ?? Number.NEGATIVE_INFINITY;
  const y = b.submitted?.getTime() ?? Number.NEGATIVE_INFINITY;
  return x === y ? compareText(a.msg_id, b.msg_id) : x - y;
}

function bufferReader(
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

/** Splits ids into lists that every hub takes. */
export function chunked(ids: readonly string[]): string[][] {
  const chunks: string[][] = [];
  for (let i = 0; i < ids.length; i += MAX_LIST) chunks.push(ids.slice(i, i + MAX_LIST));
  return chunks;
}
