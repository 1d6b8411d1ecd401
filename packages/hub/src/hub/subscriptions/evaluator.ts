import type { TaskKey } from '@ipyparallel-js/protocol';
import type { Codec } from '@ipyparallel-js/protocol/internal';
import { nextTurn } from '../../common/event-loop.js';
import type { FoundTask, TaskDatabase } from '../../db/task-database.js';
import type { TaskTracker } from '../recording/task-tracker.js';
import type { LogEntry } from './change-log.js';
import type { ChangedTask } from './changed-tasks.js';
import type { Feed } from './feed.js';
import type { FeedChange } from './feed-history.js';
import type { FeedIndex } from './feed-index.js';

/** How long an evaluation may occupy the thread, in ms. */
const MAX_SLICE_TIME = 4;

/** A change of one task for the subscribers of a feed. */
export interface EvaluatedChange {
  readonly entry: LogEntry<ChangedTask>;
  readonly change: FeedChange;
}

/** Evaluates changed tasks for feeds on their present state, which it reads once for all feeds. */
export class Evaluator {
  readonly #db: TaskDatabase;
  readonly #tracker: TaskTracker;
  readonly #pack: (value: unknown) => Buffer | undefined;

  constructor(db: TaskDatabase, tracker: TaskTracker, { packer }: Codec) {
    this.#db = db;
    this.#tracker = tracker;
    // Only packed JSON can be joined into a message.
    this.#pack = packer.name === 'json' ? (value) => packer.pack(value) : () => undefined;
  }

  /** Evaluates the changed tasks for the feeds of `index`. Rejects with the error of the store. */
  async evaluate(
    index: FeedIndex,
    entries: readonly LogEntry<ChangedTask>[],
  ): Promise<Map<Feed, EvaluatedChange[]>> {
    const { feeds, columns } = index;
    const tasks = await this.#db.get(
      entries.map(({ msgId }) => msgId),
      columns,
    );
    const buffers = await this.#readBuffers(feeds, tasks);
    const results = new Map<Feed, EvaluatedChange[]>(feeds.map((feed) => [feed, []]));
    let sliceStart = performance.now();
    for (const entry of entries) {
      const task = tasks.get(entry.msgId);
      const taskBuffers = buffers.get(entry.msgId);
      const begun = this.#tracker.startTimes.get(entry.msgId);
      const packed = new Map<string, FeedChange>();
      for (const feed of index.feedsFor(entry, task)) {
        const op = feed.opOf(entry, task);
        if (op === undefined) continue;
        const key = op === 'set' ? feed.keysName : op;
        const change =
          packed.get(key) ??
          feed.pack(
            { ...feed.changeOf(op, entry, task, begun), seq: entry.seq },
            task,
            taskBuffers,
            this.#pack,
          );
        packed.set(key, change);
        results.get(feed)?.push({ entry, change });
        if (performance.now() - sliceStart > MAX_SLICE_TIME) {
          await nextTurn();
          sliceStart = performance.now();
        }
      }
    }
    return results;
  }

  /** The buffers of matching tasks. Buffers may be large, so those of other tasks are not read. */
  async #readBuffers(
    feeds: readonly Feed[],
    tasks: ReadonlyMap<string, FoundTask>,
  ): Promise<ReadonlyMap<string, FoundTask>> {
    const withBuffers = feeds.filter(({ bufferColumns }) => bufferColumns.length > 0);
    if (withBuffers.length === 0) return new Map();
    const matches = [...tasks.values()].filter((task) => withBuffers.some((feed) => feed.matches(task)));
    const columns = new Set<TaskKey>(withBuffers.flatMap(({ bufferColumns }) => bufferColumns));
    return await this.#db.get(
      matches.map(({ msg_id }) => msg_id),
      [...columns],
    );
  }
}
