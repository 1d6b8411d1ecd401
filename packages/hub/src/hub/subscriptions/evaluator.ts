import type { TaskKey } from '@ipyparallel-js/protocol';
import type { Codec } from '@ipyparallel-js/protocol/internal';
import type { FoundTask, TaskDatabase } from '../../db/task-database.js';
import type { TaskTracker } from '../recording/task-tracker.js';
import type { LogEntry } from './change-log.js';
import type { Feed, Touched } from './feed.js';
import type { FeedChange } from './feed-history.js';
import type { FeedIndex } from './feed-index.js';

/** How long the hub's thread may be held, in ms. */
const SLICE = 4;

const yieldToOthers = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A change of one task for the subscribers of a feed. */
export interface Evaluated {
  readonly entry: LogEntry<Touched>;
  readonly change: FeedChange;
}

/** Says what changed tasks are to feeds, by what the Task Database has of them now: one read for all. */
export class Evaluator {
  readonly #db: TaskDatabase;
  readonly #tracker: TaskTracker;
  readonly #pack: (value: unknown) => Buffer | undefined;

  constructor(db: TaskDatabase, tracker: TaskTracker, { packer }: Codec) {
    this.#db = db;
    this.#tracker = tracker;
    // Packed records can be put side by side in JSON only.
    this.#pack = packer.name === 'json' ? (value) => packer.pack(value) : () => undefined;
  }

  /** Rejects with the store's error. */
  async evaluate(index: FeedIndex, entries: readonly LogEntry<Touched>[]): Promise<Map<Feed, Evaluated[]>> {
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
      const own = buffers.get(entry.msgId);
      const begun = this.#tracker.begun.get(entry.msgId);
      const packed = new Map<string, FeedChange>();
      for (const feed of index.concerned(entry, task)) {
        const op = feed.opOf(entry, task);
        if (op === undefined) continue;
        const words = op === 'set' ? feed.words : op;
        const change =
          packed.get(words) ??
          feed.pack({ ...feed.changeOf(op, entry, task, begun), seq: entry.seq }, task, own, this.#pack);
        packed.set(words, change);
        results.get(feed)?.push({ entry, change });
        if (performance.now() - since > SLICE) {
          await yieldToOthers();
          since = performance.now();
        }
      }
    }
    return results;
  }

  /** Buffers may be large: they are read of matches only. */
  async #buffers(
    feeds: readonly Feed[],
    found: ReadonlyMap<string, FoundTask>,
  ): Promise<ReadonlyMap<string, FoundTask>> {
    const wanting = feeds.filter(({ bufferColumns }) => bufferColumns.length > 0);
    if (wanting.length === 0) return new Map();
    const ids = [...found.values()].filter((task) => wanting.some((feed) => feed.matches(task)));
    const columns = new Set<TaskKey>(wanting.flatMap(({ bufferColumns }) => bufferColumns));
    return await this.#db.get(
      ids.map(({ msg_id }) => msg_id),
      [...columns],
    );
  }
}
