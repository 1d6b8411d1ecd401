import type { Dict, SubscriptionChange, TaskKey } from '@ipyparallel-js/protocol';
import {
  allOf,
  columnsOf,
  compilePredicate,
  conjunctsOf,
  type Predicate,
  type ProjectedKey,
  type QueryNode,
  STATUS_KEYS,
  TASK_COLUMNS,
} from '@ipyparallel-js/protocol/internal';
import type { FoundTask } from '../../db/task-database.js';
import { sizeOfTask } from '../../db/task-size.js';
import {
  BUFFER_KEYS,
  DEFAULT_KEYS,
  projectTask,
  readStored,
  withoutEmptyDisplay,
} from '../requests/record-projection.js';
import { ChangeLog, type LogEntry } from './change-log.js';
import type { FeedChange, FeedHistory } from './feed-history.js';

/** What is known of a changed task beside its id. */
export interface Touched {
  /** It was removed, and not added since. */
  readonly gone: boolean;
  /** Its output made a record of it before its request came. */
  readonly early: boolean;
  /** Where it was added, if that was seen. */
  readonly added?: number | undefined;
}

/** What a request brings and nothing changes afterwards. */
const FIXED: ReadonlySet<TaskKey> = new Set([
  ...(['msg_id', 'client_uuid', 'submitted', 'label', 'queue', 'header', 'metadata', 'content'] as const),
]);

/** What a feed remembers for subscribers that are slower than others, at the most; and all feeds together, about. */
const REMEMBERED = 8192;
const REMEMBERED_BYTES = 4 * 1024 ** 2;
const TOGETHER = 64 * REMEMBERED;
const TOGETHER_BYTES = 32 * REMEMBERED_BYTES;
/** What each of many feeds may remember all the same. */
const LEAST = 256;
const LEAST_BYTES = 64 * 1024;

/** A distinct query with its keys: evaluated once, however many subscribe to it. */
export class Feed {
  /** Two subscriptions with the same name are of the same feed. */
  readonly name: string;
  /** The columns that have to be read, all but buffers. */
  readonly columns: ReadonlySet<TaskKey>;
  /** The buffers asked for. */
  readonly bufferColumns: readonly (typeof BUFFER_KEYS)[number][];
  /** The latest change of each task, as it was evaluated. */
  readonly log = new ChangeLog<FeedChange>(REMEMBERED);
  readonly query: QueryNode;
  /** What it told lately, for those who come back with nothing but a place. */
  history: FeedHistory | undefined;
  /**
   * Snapshots of its subscribers were read before this place; undefined while one may be being read. Of a task that was added
   * since, a subscriber knows what it was told.
   */
  readBefore: number | undefined;
  /** Feeds of the same keys tell a matching task in the same words. */
  readonly words: string;
  readonly #asked: readonly ProjectedKey[] | undefined;
  readonly #names: ReadonlySet<string>;
  readonly #matches: Predicate<FoundTask>;
  readonly #mayMatch: Predicate<FoundTask>;

  constructor(name: string, query: QueryNode, asked: readonly ProjectedKey[] | undefined) {
    this.name = name;
    this.query = query;
    this.#asked = asked;
    this.words = JSON.stringify(asked?.map((key) => key.name) ?? null);
    this.#names = new Set(asked?.map((key) => key.name));
    const wanted = asked?.map(({ column }) => column) ?? DEFAULT_KEYS;
    this.bufferColumns = BUFFER_KEYS.filter((key) => wanted.includes(key));
    const columns = [...wanted, ...columnsOf(query), ...STATUS_KEYS, 'submitted' as const];
    this.columns = new Set(columns.filter((key) => TASK_COLUMNS[key] !== 'buffers'));
    this.#matches = compilePredicate(query, readStored);
    const fixed = conjunctsOf(query).filter((part) => [...columnsOf(part)].every((key) => FIXED.has(key)));
    this.#mayMatch = compilePredicate(allOf(fixed), readStored);
  }

  matches(task: FoundTask): boolean {
    return this.#matches(task);
  }

  /**
   * What a subscriber is to be told of a task that has changed; undefined where that is nothing. Whether it matched
   * before is mostly not known, so `out` is said unless it cannot have.
   */
  opOf(
    { msgId, value }: LogEntry<Touched>,
    task: FoundTask | undefined,
  ): SubscriptionChange['op'] | undefined {
    if (task === undefined) return value.gone && !this.#neverTold(msgId, value) ? 'gone' : undefined;
    if (this.#matches(task)) return 'set';
    const requested = (task.submitted ?? null) !== null;
    if (requested && !value.early && !this.#mayMatch(task)) return undefined;
    return this.#neverTold(msgId, value) ? undefined : 'out';
  }

  /** The words for it. */
  changeOf(
    op: SubscriptionChange['op'],
    { msgId }: LogEntry<Touched>,
    task: FoundTask | undefined,
    begun: string | undefined,
  ): Dict {
    if (op !== 'set' || task === undefined) return { op, msg_id: msgId };
    const record = this.#record(task);
    return begun === undefined ? { op, record } : { op, record, begun };
  }

  #neverTold(msgId: string, { added }: Touched): boolean {
    const { readBefore, history } = this;
    return (
      readBefore !== undefined &&
      history !== undefined &&
      added !== undefined &&
      added > Math.max(readBefore, history.floor) &&
      !history.has(msgId)
    );
  }

  #record(task: FoundTask): Dict {
    if (this.#asked === undefined) {
      const record: Record<string, unknown> = {};
      for (const key of DEFAULT_KEYS) record[key] = task[key] ?? null;
      return withoutEmptyDisplay(record as FoundTask);
    }
    const record: Record<string, unknown> = { ...projectTask(task, this.#asked) };
    for (const key of STATUS_KEYS) if (!this.#names.has(key)) record[key] = task[key] ?? null;
    return record;
  }

  /** Forgets what is more than its share, as one of so many feeds. */
  trim(feeds: number): void {
    this.log.trim(
      Math.max(LEAST, Math.min(REMEMBERED, Math.floor(TOGETHER / feeds))),
      Math.max(LEAST_BYTES, Math.min(REMEMBERED_BYTES, Math.floor(TOGETHER_BYTES / feeds))),
    );
  }

  /** A change as it is remembered. */
  pack(
    change: Dict,
    task: FoundTask | undefined,
    buffers: FoundTask | undefined,
    packer: (value: unknown) => Buffer | undefined,
  ): FeedChange {
    const packed = exactly(packer(change));
    const of = (key: (typeof BUFFER_KEYS)[number]): readonly Uint8Array[] =>
      this.bufferColumns.includes(key) ? (buffers?.[key] ?? []) : [];
    const own =
      change['op'] === 'set' ? { buffers: of('buffers'), result_buffers: of('result_buffers') } : undefined;
    const beside = [...(own?.buffers ?? []), ...(own?.result_buffers ?? [])];
    const bytes = packed?.byteLength ?? (task === undefined ? 100 : sizeOfTask(task));
    return {
      packed,
      change: packed === undefined ? change : undefined,
      bytes: beside.reduce((sum, { byteLength }) => sum + byteLength, bytes),
      buffers: own,
    };
  }
}

/** In memory of its own: a small Buffer is a part of a large one, which lives as long as it does. */
function exactly(packed: Buffer | undefined): Buffer | undefined {
  if (packed === undefined || packed.byteLength === packed.buffer.byteLength) return packed;
  const own = Buffer.allocUnsafeSlow(packed.byteLength);
  packed.copy(own);
  return own;
}
