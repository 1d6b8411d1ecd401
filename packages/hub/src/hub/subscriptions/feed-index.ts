import type { TaskKey } from '@ipyparallel-js/protocol';
import { conjunctsOf, type QueryNode } from '@ipyparallel-js/protocol/internal';
import type { FoundTask } from '../../db/task-database.js';
import type { LogEntry } from './change-log.js';
import type { Feed, Touched } from './feed.js';

/** Texts that a request brings, of which many narrow queries name a few. */
const KEYS = ['msg_id', 'client_uuid', 'label'] as const;
type Key = (typeof KEYS)[number];

/**
 * Which feeds a changed task may concern. A query that names its tasks, their client or their label is looked up by that
 * name, so that a hundred clients which watch their own tasks cost a change no more than one.
 */
export class FeedIndex {
  readonly feeds: readonly Feed[];
  /** All that they read of a task, buffers excepted. */
  readonly columns: readonly TaskKey[];
  /** Those that name nothing. */
  readonly #wide: Feed[] = [];
  readonly #named: { readonly [K in Key]: Map<string, Feed[]> } = {
    msg_id: new Map(),
    client_uuid: new Map(),
    label: new Map(),
  };

  constructor(feeds: readonly Feed[]) {
    this.feeds = feeds;
    const columns = new Set<TaskKey>();
    for (const feed of feeds) {
      for (const column of feed.columns) columns.add(column);
      this.#add(feed);
    }
    for (const key of KEYS) if (this.#named[key].size > 0) columns.add(key);
    this.columns = [...columns];
  }

  /** The feeds to which a change may be something. */
  concerned({ msgId, value }: LogEntry<Touched>, task: FoundTask | undefined): readonly Feed[] {
    const { msg_id, client_uuid, label } = this.#named;
    const byId = msg_id.get(msgId) ?? [];
    // Of a task that is gone, or was known by its output first, nobody knows what it was.
    if (task === undefined || value.early || (task.submitted ?? null) === null) {
      return [...this.#wide, ...byId, ...all(client_uuid), ...all(label)];
    }
    const byClient = of(client_uuid, task.client_uuid);
    const byLabel = of(label, task.label);
    if (byId.length + byClient.length + byLabel.length === 0) return this.#wide;
    return [...this.#wide, ...byId, ...byClient, ...byLabel];
  }

  #add(feed: Feed): void {
    const name = namedBy(feed.query);
    if (name === undefined) {
      this.#wide.push(feed);
      return;
    }
    const map = this.#named[name.key];
    for (const text of name.texts) {
      const there = map.get(text);
      if (there === undefined) map.set(text, [feed]);
      else there.push(feed);
    }
  }
}

/** The texts of which one must be there for a task to match; undefined where the query names none. */
function namedBy(query: QueryNode): { readonly key: Key; readonly texts: ReadonlySet<string> } | undefined {
  for (const part of conjunctsOf(query)) {
    if (part.kind !== 'test' || part.field.path.length > 0) continue;
    const key = KEYS.find((each) => each === part.field.column);
    if (key === undefined) continue;
    const { comparison } = part;
    const values: readonly unknown[] | undefined =
      comparison.op === '$eq' ? [comparison.value] : comparison.op === '$in' ? comparison.values : undefined;
    if (values?.every((value) => typeof value === 'string')) return { key, texts: new Set(values) };
  }
  return undefined;
}

function of(feeds: ReadonlyMap<string, Feed[]>, text: unknown): readonly Feed[] {
  return typeof text === 'string' ? (feeds.get(text) ?? []) : [];
}

/** Each feed once, whatever it is named by. */
function all(feeds: ReadonlyMap<string, Feed[]>): Set<Feed> {
  return new Set([...feeds.values()].flat());
}
