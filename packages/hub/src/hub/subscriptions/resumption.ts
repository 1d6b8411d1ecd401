import { BoundedSet, type Codec } from '@ipyparallel-js/protocol/internal';
import type { FoundTask, Selection, TaskChange, TaskDatabase } from '../../db/task-database.js';
import type { TaskTracker } from '../recording/task-tracker.js';
import type { ChangeLog } from './change-log.js';
import type { Evaluated } from './evaluator.js';
import type { Feed, Touched } from './feed.js';
import { type FeedChange, FeedHistory, type ToldPlace } from './feed-history.js';
import { FeedIndex } from './feed-index.js';

/** What is remembered for clients that come back as another process. */
export interface ResumeLimits {
  /** How long, in ms; 600,000 by default, 0 for not at all. */
  readonly resumeTime: number;
  /** How many changes of each query; 20,000 by default. */
  readonly resumeChanges: number;
  /** How many bytes of all queries together, about; 64 MiB by default, 8 MiB for one query at the most. */
  readonly resumeBytes: number;
  /** How many queries that nobody watches any more; 16 by default. */
  readonly resumeQueries: number;
}

/** What a {@link Resumption} works with. */
export interface ResumptionOptions {
  readonly db: TaskDatabase;
  readonly tracker: TaskTracker;
  readonly codec: Codec;
  /** The changed tasks. */
  readonly log: ChangeLog<Touched>;
  /** The place of the latest change. */
  readonly latest: () => number;
  readonly feeds: () => Iterable<Feed>;
  readonly limits: ResumeLimits;
}

/** A feed that has a history. */
type Remembering = Feed & { readonly history: FeedHistory };

const QUERY_BYTES = 8 * 1024 ** 2;
const LEAST_BYTES = 64 * 1024;
/** More than so many records are not read before they are removed. */
const MOST_READ = 5_000;
const AS_IT_IS: Touched = { gone: false, early: false };

/**
 * Keeps the histories of feeds. A task that changes for the first time is read before it does, since a client may have been
 * told of it in its snapshot; those that were added while a feed was there need no reading.
 */
export class Resumption {
  readonly #options: ResumptionOptions;
  /** Records that were read before their removal. */
  readonly #looked = new BoundedSet(4 * MOST_READ);
  readonly #pack: (value: unknown) => Buffer | undefined;

  constructor(options: ResumptionOptions) {
    this.#options = options;
    const { packer } = options.codec;
    this.#pack = packer.name === 'json' ? (value) => packer.pack(value) : () => undefined;
  }

  /** Remembers from now on what a feed tells. Not with buffers, which may be large. */
  begin(feed: Feed): void {
    if (this.#options.limits.resumeTime <= 0 || feed.bufferColumns.length > 0) return;
    feed.history ??= new FeedHistory(this.#options.latest());
  }

  /** To be waited for before these changes are written; undefined where there is nothing to do. */
  beforeWrite(
    changes: readonly TaskChange[],
    isEarly: (msgId: string) => boolean,
  ): Promise<void> | undefined {
    const feeds = this.#remembering();
    if (feeds.length === 0) return undefined;
    const youngest = Math.max(...feeds.map(({ history }) => history.floor));
    const added = new Set<string>();
    const ids = new Set<string>();
    for (const change of changes) {
      const msgId = change.op === 'add' ? change.task.msg_id : change.msgId;
      if (change.op === 'add' && !isEarly(msgId)) added.add(msgId);
      else if (!added.has(msgId) && this.#changedAt(msgId) <= youngest) ids.add(msgId);
    }
    return ids.size === 0 ? undefined : this.#read(feeds, [...ids]);
  }

  /** To be waited for before these records are removed. */
  async beforeRemoval(selection: Selection): Promise<void> {
    const feeds = this.#remembering();
    if (feeds.length === 0) return;
    const ids =
      'msgIds' in selection
        ? selection.msgIds
        : (await this.#options.db.remove(selection, { dryRun: true })).msgIds;
    const youngest = Math.max(...feeds.map(({ history }) => history.floor));
    const unknown = ids.filter((msgId) => this.#changedAt(msgId) <= youngest);
    if (unknown.length === 0 || unknown.length > MOST_READ) return;
    await this.#read(feeds, unknown);
    for (const msgId of unknown) this.#looked.add(msgId);
  }

  /** These records have gone, and their removal is about to be noted; `tasks`: as they were, as far as is known. */
  removed(msgIds: readonly string[], tasks: ReadonlyMap<string, FoundTask> | undefined): void {
    const feeds = this.#remembering();
    if (feeds.length === 0) return;
    const index = new FeedIndex(feeds);
    for (const msgId of msgIds) {
      if (this.#looked.delete(msgId)) continue;
      const task = tasks?.get(msgId);
      const entry = { seq: 0, msgId, value: AS_IT_IS };
      for (const feed of index.concerned(entry, task)) {
        if (!isRemembering(feed) || this.#isKnown(feed, msgId)) continue;
        if (task !== undefined) this.#base(feed, task);
        // Nobody knows whether it matched: whoever was told before now has to look at everything.
        else feed.history.forget(this.#options.latest() + msgIds.length);
      }
    }
  }

  /** Notes what a feed has told. */
  told(feed: Feed, evaluated: readonly Evaluated[]): void {
    for (const { entry, change } of evaluated)
      feed.history?.add(entry.seq, entry.msgId, change.buffers === undefined ? undefined : change);
  }

  /** Forgets what is too old or too much. */
  trim(): void {
    const feeds = this.#remembering();
    const { resumeTime, resumeChanges, resumeBytes } = this.#options.limits;
    const least = Math.min(LEAST_BYTES, resumeBytes);
    const share = Math.max(least, Math.min(QUERY_BYTES, resumeBytes / Math.max(1, feeds.length)));
    for (const { history } of feeds) history.trim({ time: resumeTime, changes: resumeChanges, bytes: share });
  }

  /**
   * What a feed told up to a place of the tasks that have changed since, then the rest of that update. With those that were
   * not told of and have changed since `start`: who read in the meantime may have seen them match.
   */
  before(
    feed: Feed,
    place: ToldPlace,
    start: number,
  ): { readonly told: FeedChange[]; readonly rest: FeedChange[] } | undefined {
    const before = feed.history?.before(place);
    if (before === undefined) return undefined;
    const told = new Map(before.told);
    for (const { msgId } of this.#options.log.after(start)) if (!told.has(msgId)) told.set(msgId, undefined);
    return {
      told: [...told].map(([msgId, change]) => change ?? this.#out(feed, msgId, place.seq)),
      rest: before.rest.map(({ msgId, told: change, seq }) => change ?? this.#out(feed, msgId, seq)),
    };
  }

  async #read(feeds: readonly Remembering[], ids: readonly string[]): Promise<void> {
    const index = new FeedIndex(feeds);
    let found: ReadonlyMap<string, FoundTask>;
    try {
      found = await this.#options.db.get(ids, index.columns);
    } catch {
      // Whoever evaluates says that the store cannot be read.
      for (const { history } of feeds) history.forget(this.#options.latest());
      return;
    }
    for (const msgId of ids) {
      const task = found.get(msgId);
      if (task === undefined) continue;
      for (const feed of index.concerned({ seq: 0, msgId, value: AS_IT_IS }, task))
        if (isRemembering(feed) && !this.#isKnown(feed, msgId)) this.#base(feed, task);
    }
  }

  #base(feed: Remembering, task: FoundTask): void {
    const entry = { seq: 0, msgId: task.msg_id, value: AS_IT_IS };
    if (feed.opOf(entry, task) !== 'set') return;
    const change = feed.changeOf('set', entry, task, this.#options.tracker.begun.get(task.msg_id));
    feed.history.base(task.msg_id, feed.pack(change, task, undefined, this.#pack));
  }

  #out(feed: Feed, msgId: string, seq: number): FeedChange {
    return feed.pack({ op: 'out', msg_id: msgId, seq }, undefined, undefined, this.#pack);
  }

  #isKnown({ history }: Remembering, msgId: string): boolean {
    return history.has(msgId) || this.#changedAt(msgId) > history.floor;
  }

  #changedAt(msgId: string): number {
    return this.#options.log.latest(msgId)?.seq ?? -1;
  }

  #remembering(): Remembering[] {
    const feeds: Remembering[] = [];
    for (const feed of this.#options.feeds()) if (isRemembering(feed)) feeds.push(feed);
    return feeds;
  }
}

function isRemembering(feed: Feed): feed is Remembering {
  return feed.history !== undefined;
}
