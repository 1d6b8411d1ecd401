import { BoundedSet, type Codec } from '@ipyparallel-js/protocol/internal';
import type { FoundTask, Selection, TaskChange, TaskDatabase } from '../../db/task-database.js';
import type { TaskTracker } from '../recording/task-tracker.js';
import type { ChangedTask, ChangedTasks } from './changed-tasks.js';
import type { EvaluatedChange } from './evaluator.js';
import type { Feed } from './feed.js';
import { type FeedChange, FeedHistory, type FeedPosition } from './feed-history.js';
import { FeedIndex } from './feed-index.js';

/** The limits of the histories by which a client resumes a live query in another process. */
export interface ResumeLimits {
  /** How long changes are stored, in ms; 600,000 by default. With 0, no changes are stored. */
  readonly resumeTime: number;
  /** How many changes of each query are stored; 20,000 by default. */
  readonly resumeChanges: number;
  /** The approximate size of all histories together, in bytes; 64 MiB by default, at most 8 MiB for one query. */
  readonly resumeBytes: number;
  /** How many queries without subscribers are stored; 16 by default. */
  readonly resumeQueries: number;
}

export interface ResumptionOptions {
  readonly db: TaskDatabase;
  readonly tracker: TaskTracker;
  readonly codec: Codec;
  readonly changedTasks: ChangedTasks;
  readonly table: { readonly feeds: Iterable<Feed> };
  readonly limits: ResumeLimits;
}

/** A feed with a history. */
type TrackedFeed = Feed & { readonly history: FeedHistory };

/** The size of the history of one query, in bytes. */
const MAX_BYTES = 8 * 1024 ** 2;
const MIN_BYTES = 64 * 1024;
/** Maximum number of records that are read before their removal; if more are removed at once, none is read. */
const MAX_READ_RECORDS = 5_000;
const NO_CHANGE: ChangedTask = { isRemoved: false, hadOutputFirst: false };

/**
 * Maintains the histories of feeds. A task is read before its first change, because a client may have its present state
 * from a snapshot. Tasks that were added while a feed was open need no reading.
 */
export class Resumption {
  readonly #options: ResumptionOptions;
  /** Records that were read before their removal. */
  readonly #removalReadIds = new BoundedSet(4 * MAX_READ_RECORDS);
  readonly #pack: (value: unknown) => Buffer | undefined;

  constructor(options: ResumptionOptions) {
    this.#options = options;
    const { packer } = options.codec;
    this.#pack = packer.name === 'json' ? (value) => packer.pack(value) : () => undefined;
  }

  /** Starts the history of a feed. Feeds with buffers have none, because buffers may be large. */
  startHistory(feed: Feed): void {
    if (this.#options.limits.resumeTime <= 0 || feed.bufferColumns.length > 0) return;
    feed.history ??= new FeedHistory(this.#options.changedTasks.latestSeq);
  }

  /**
   * Reads the tasks before these changes are written; the caller must await it.
   * @returns undefined if no task must be read
   */
  beforeWrite(changes: readonly TaskChange[]): Promise<void> | undefined {
    const feeds = this.#trackedFeeds();
    if (feeds.length === 0) return undefined;
    const { changedTasks } = this.#options;
    const highestFloor = Math.max(...feeds.map(({ history }) => history.floor));
    const addedIds = new Set<string>();
    const ids = new Set<string>();
    for (const change of changes) {
      const msgId = change.op === 'add' ? change.task.msg_id : change.msgId;
      if (change.op === 'add' && !changedTasks.hasOutputOnly(msgId)) addedIds.add(msgId);
      else if (!addedIds.has(msgId) && this.#latestSeqOf(msgId) <= highestFloor) ids.add(msgId);
    }
    return ids.size === 0 ? undefined : this.#read(feeds, [...ids]);
  }

  /** Reads these records before they are removed; the caller must await it. */
  async beforeRemoval(selection: Selection): Promise<void> {
    const feeds = this.#trackedFeeds();
    if (feeds.length === 0) return;
    const ids =
      'msgIds' in selection
        ? selection.msgIds
        : (await this.#options.db.remove(selection, { dryRun: true })).msgIds;
    const highestFloor = Math.max(...feeds.map(({ history }) => history.floor));
    const unreadIds = ids.filter((msgId) => this.#latestSeqOf(msgId) <= highestFloor);
    if (unreadIds.length === 0 || unreadIds.length > MAX_READ_RECORDS) return;
    await this.#read(feeds, unreadIds);
    for (const msgId of unreadIds) this.#removalReadIds.add(msgId);
  }

  /**
   * Handles the removal of records, before the log of changes contains it. `tasks` has the last states that the store
   * returned.
   */
  onRemoved(msgIds: readonly string[], tasks: ReadonlyMap<string, FoundTask> | undefined): void {
    const feeds = this.#trackedFeeds();
    if (feeds.length === 0) return;
    const index = new FeedIndex(feeds);
    for (const msgId of msgIds) {
      if (this.#removalReadIds.delete(msgId)) continue;
      const task = tasks?.get(msgId);
      const entry = { seq: 0, msgId, value: NO_CHANGE };
      for (const feed of index.feedsFor(entry, task)) {
        if (!isTracked(feed) || this.#isKnown(feed, msgId)) continue;
        if (task !== undefined) this.#addInitial(feed, task);
        // The hub cannot determine whether the task matched, so clients cannot resume from before the removal.
        else feed.history.clear(this.#options.changedTasks.latestSeq + msgIds.length);
      }
    }
  }

  /** Adds the evaluated changes of a feed to its history. */
  record(feed: Feed, evaluated: readonly EvaluatedChange[]): void {
    for (const { entry, change } of evaluated)
      feed.history?.add(entry.seq, entry.msgId, change.buffers === undefined ? undefined : change);
  }

  /** Removes changes beyond the limits. */
  trim(): void {
    const feeds = this.#trackedFeeds();
    const { resumeTime, resumeChanges, resumeBytes } = this.#options.limits;
    const minimum = Math.min(MIN_BYTES, resumeBytes);
    const share = Math.max(minimum, Math.min(MAX_BYTES, resumeBytes / Math.max(1, feeds.length)));
    for (const { history } of feeds) history.trim({ time: resumeTime, changes: resumeChanges, bytes: share });
  }

  /**
   * Returns what a client at a position has of each task that has changed since, and the rest of the update at that
   * position. Includes tasks that were never sent and have changed since `start`, because a client that read a snapshot
   * in the meantime may have seen them match.
   */
  stateAt(
    feed: Feed,
    position: FeedPosition,
    start: number,
  ): { readonly sent: FeedChange[]; readonly rest: FeedChange[] } | undefined {
    const state = feed.history?.stateAt(position);
    if (state === undefined) return undefined;
    const sent = new Map(state.sent);
    for (const { msgId } of this.#options.changedTasks.log.entriesAfter(start))
      if (!sent.has(msgId)) sent.set(msgId, undefined);
    return {
      sent: [...sent].map(([msgId, change]) => change ?? this.#outChange(feed, msgId, position.seq)),
      rest: state.rest.map(({ msgId, sent: change, seq }) => change ?? this.#outChange(feed, msgId, seq)),
    };
  }

  async #read(feeds: readonly TrackedFeed[], ids: readonly string[]): Promise<void> {
    const index = new FeedIndex(feeds);
    let found: ReadonlyMap<string, FoundTask>;
    try {
      found = await this.#options.db.get(ids, index.columns);
    } catch {
      // The evaluation fails with the same error and logs it.
      for (const { history } of feeds) history.clear(this.#options.changedTasks.latestSeq);
      return;
    }
    for (const msgId of ids) {
      const task = found.get(msgId);
      if (task === undefined) continue;
      for (const feed of index.feedsFor({ seq: 0, msgId, value: NO_CHANGE }, task))
        if (isTracked(feed) && !this.#isKnown(feed, msgId)) this.#addInitial(feed, task);
    }
  }

  #addInitial(feed: TrackedFeed, task: FoundTask): void {
    const entry = { seq: 0, msgId: task.msg_id, value: NO_CHANGE };
    if (feed.opOf(entry, task) !== 'set') return;
    const change = feed.changeOf('set', entry, task, this.#options.tracker.startTimes.get(task.msg_id));
    feed.history.addInitialVersion(task.msg_id, feed.pack(change, task, undefined, this.#pack));
  }

  #outChange(feed: Feed, msgId: string, seq: number): FeedChange {
    return feed.pack({ op: 'out', msg_id: msgId, seq }, undefined, undefined, this.#pack);
  }

  #isKnown({ history }: TrackedFeed, msgId: string): boolean {
    return history.has(msgId) || this.#latestSeqOf(msgId) > history.floor;
  }

  #latestSeqOf(msgId: string): number {
    return this.#options.changedTasks.log.latestEntry(msgId)?.seq ?? -1;
  }

  #trackedFeeds(): TrackedFeed[] {
    const feeds: TrackedFeed[] = [];
    for (const feed of this.#options.table.feeds) if (isTracked(feed)) feeds.push(feed);
    return feeds;
  }
}

function isTracked(feed: Feed): feed is TrackedFeed {
  return feed.history !== undefined;
}
