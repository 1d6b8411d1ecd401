import type { TaskKey } from '@ipyparallel-js/protocol';
import type { Codec } from '@ipyparallel-js/protocol/internal';
import type { FoundTask, TaskDatabase } from '../../db/task-database.js';
import type { TaskTracker } from '../recording/task-tracker.js';
import type { LogEntry } from './change-log.js';
import type { ChangedTask } from './changed-tasks.js';
import type { Feed } from './feed.js';
import type { FeedChange } from './feed-history.js';
import type { FeedIndex } from './feed-index.js';

/** How long an evaluation may occupy the thread, in ms. */
const SLICE = 4;

const yieldToOthers = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A change of one task for the subscribers of a feed. */
export interface Evaluated {
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
    // Packed changes can be joined to a message in JSON only.
    this.#pack = packer.name === 'json' ? (value) => packer.pack(value) : () => undefined;
  }

  /** Rejects with the error of the store. */
  async evaluate(
    index: FeedIndex,
    entries: readonly LogEntry<ChangedTask>[],
  ): Promise<Map<Feed, Evaluated[]>> {
    const { feeds, columns } = index;
    const found = await this.#db.get(
      entries.map(({ msgId }) => msgId),
      columns,
    );
    const buffers = await this.#buffers(feeds, found);
    const results = new Map<Feed, Evaluated[]>(feeds.map((feed) => [feed, []]));
    let since = performance.now();
    for (const entry of entries) {
      const task = found.get(entry.msgId);
      const taskBuffers = buffers.get(entry.msgId);
      const begun = this.#tracker.running.get(entry.msgId);
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
        if (performance.now() - since > SLICE) {
          await yieldToOthers();
          since = performance.now();
        }
      }
    }
    return results;
  }

  /** The buffers of matching tasks. Buffers may be large, so those of other tasks are not read. */
  async #buffers(
    feeds: readonly Feed[],
    found: ReadonlyMap<string, FoundTask>,
  ): Promise<ReadonlyMap<string, FoundTask>> {
    const withBuffers = feeds.filter(({ bufferColumns }) => bufferColumns.length > 0);
    if (withBuffers.length === 0) return new Map();
    const ids = [...found.values()].filter((task) => withBuffers.some((feed) => feed.matches(task)));
    const columns = new Set<TaskKey>(withBuffers.flatMap(({ bufferColumns }) => bufferColumns));
    return await this.#db.get(
      ids.map(({ msg_id }) => msg_id),
      [...columns],
    );
  }
}
