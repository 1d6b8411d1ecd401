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
import type { ChangedTask } from './changed-tasks.js';
import type { FeedChange, FeedHistory } from './feed-history.js';

/** The columns that a request sets and nothing changes afterwards. */
const FIXED_COLUMNS: ReadonlySet<TaskKey> = new Set([
  ...(['msg_id', 'client_uuid', 'submitted', 'label', 'queue', 'header', 'metadata', 'content'] as const),
]);

/** The maximum number and total size of the changes in the log of a feed, from which slow subscribers read. */
const MAX_CHANGES = 8192;
const MAX_BYTES = 4 * 1024 ** 2;
/** The approximate maximum of the logs of all feeds together. */
const TOTAL_CHANGES = 64 * MAX_CHANGES;
const TOTAL_BYTES = 32 * MAX_BYTES;
/** The number and size of changes that the log of each feed may have, however many feeds there are. */
const MIN_CHANGES = 256;
const MIN_BYTES = 64 * 1024;

/** A distinct query with its keys. It is evaluated once for all its subscribers. */
export class Feed {
  /** Subscriptions with the same name share the feed. */
  readonly name: string;
  /** The columns that an evaluation reads, without buffers. */
  readonly columns: ReadonlySet<TaskKey>;
  /** The requested buffers. */
  readonly bufferColumns: readonly (typeof BUFFER_KEYS)[number][];
  /** The latest evaluated change of each task. */
  readonly log = new ChangeLog<FeedChange>(MAX_CHANGES);
  readonly query: QueryNode;
  /** The changes sent recently, for clients that resume in another process. */
  history: FeedHistory | undefined;
  /**
   * All snapshots of the subscribers were read before this sequence number; undefined while one may still be read.
   * Only updates report tasks that were added after it.
   */
  snapshotSeq: number | undefined;
  /** Identifies the requested keys: feeds with the same keys share packed changes. */
  readonly keysName: string;
  readonly #keys: readonly ProjectedKey[] | undefined;
  readonly #keyNames: ReadonlySet<string>;
  readonly #matches: Predicate<FoundTask>;
  readonly #mayMatch: Predicate<FoundTask>;

  constructor(name: string, query: QueryNode, keys: readonly ProjectedKey[] | undefined) {
    this.name = name;
    this.query = query;
    this.#keys = keys;
    this.keysName = JSON.stringify(keys?.map((key) => key.name) ?? null);
    this.#keyNames = new Set(keys?.map((key) => key.name));
    const requestedColumns = keys?.map(({ column }) => column) ?? DEFAULT_KEYS;
    this.bufferColumns = BUFFER_KEYS.filter((key) => requestedColumns.includes(key));
    const columns = [...requestedColumns, ...columnsOf(query), ...STATUS_KEYS, 'submitted' as const];
    this.columns = new Set(columns.filter((key) => TASK_COLUMNS[key] !== 'buffers'));
    this.#matches = compilePredicate(query, readStored);
    const fixedParts = conjunctsOf(query).filter((part) =>
      [...columnsOf(part)].every((key) => FIXED_COLUMNS.has(key)),
    );
    this.#mayMatch = compilePredicate(allOf(fixedParts), readStored);
  }

  matches(task: FoundTask): boolean {
    return this.#matches(task);
  }

  /**
   * The operation to send for a changed task; undefined for none. The hub usually cannot determine whether the task
   * matched before, so it sends `out` unless the task cannot have matched.
   */
  opOf(
    { msgId, value }: LogEntry<ChangedTask>,
    task: FoundTask | undefined,
  ): SubscriptionChange['op'] | undefined {
    if (task === undefined) return value.isRemoved && !this.#wasNeverSent(msgId, value) ? 'gone' : undefined;
    if (this.#matches(task)) return 'set';
    const hasRequest = (task.submitted ?? null) !== null;
    if (hasRequest && !value.hadOutputFirst && !this.#mayMatch(task)) return undefined;
    return this.#wasNeverSent(msgId, value) ? undefined : 'out';
  }

  /** The content of a change. */
  changeOf(
    op: SubscriptionChange['op'],
    { msgId }: LogEntry<ChangedTask>,
    task: FoundTask | undefined,
    begun: string | undefined,
  ): Dict {
    if (op !== 'set' || task === undefined) return { op, msg_id: msgId };
    const record = this.#record(task);
    return begun === undefined ? { op, record } : { op, record, begun };
  }

  #wasNeverSent(msgId: string, { addedSeq }: ChangedTask): boolean {
    const { snapshotSeq, history } = this;
    return (
      snapshotSeq !== undefined &&
      history !== undefined &&
      addedSeq !== undefined &&
      addedSeq > Math.max(snapshotSeq, history.floor) &&
      !history.has(msgId)
    );
  }

  #record(task: FoundTask): Dict {
    if (this.#keys === undefined) {
      const record: Record<string, unknown> = {};
      for (const key of DEFAULT_KEYS) record[key] = task[key] ?? null;
      return withoutEmptyDisplay(record as FoundTask);
    }
    const record: Record<string, unknown> = { ...projectTask(task, this.#keys) };
    for (const key of STATUS_KEYS) if (!this.#keyNames.has(key)) record[key] = task[key] ?? null;
    return record;
  }

  /** Trims the log to the share of one of `feeds` feeds. */
  trim(feeds: number): void {
    this.log.trim(
      Math.max(MIN_CHANGES, Math.min(MAX_CHANGES, Math.floor(TOTAL_CHANGES / feeds))),
      Math.max(MIN_BYTES, Math.min(MAX_BYTES, Math.floor(TOTAL_BYTES / feeds))),
    );
  }

  /** Packs a change for the log. */
  pack(
    change: Dict,
    task: FoundTask | undefined,
    buffers: FoundTask | undefined,
    packer: (value: unknown) => Buffer | undefined,
  ): FeedChange {
    const packed = copyBuffer(packer(change));
    const buffersOf = (key: (typeof BUFFER_KEYS)[number]): readonly Uint8Array[] =>
      this.bufferColumns.includes(key) ? (buffers?.[key] ?? []) : [];
    const changeBuffers =
      change['op'] === 'set'
        ? { buffers: buffersOf('buffers'), result_buffers: buffersOf('result_buffers') }
        : undefined;
    const allBuffers = [...(changeBuffers?.buffers ?? []), ...(changeBuffers?.result_buffers ?? [])];
    const bytes = packed?.byteLength ?? (task === undefined ? 100 : sizeOfTask(task));
    return {
      packed,
      change: packed === undefined ? change : undefined,
      bytes: allBuffers.reduce((sum, { byteLength }) => sum + byteLength, bytes),
      buffers: changeBuffers,
    };
  }
}

/** Copies a Buffer to memory of its own: a small Buffer is a slice of a pool, and would keep the pool in memory. */
function copyBuffer(packed: Buffer | undefined): Buffer | undefined {
  if (packed === undefined || packed.byteLength === packed.buffer.byteLength) return packed;
  const copy = Buffer.allocUnsafeSlow(packed.byteLength);
  packed.copy(copy);
  return copy;
}
