import type { TaskKey } from '@ipyparallel-js/protocol';
import { conjunctsOf, type QueryNode } from '@ipyparallel-js/protocol/internal';
import type { FoundTask } from '../../db/task-database.js';
import type { LogEntry } from './change-log.js';
import type { ChangedTask } from './changed-tasks.js';
import type { Feed } from './feed.js';

/** Columns that a request sets once, and that narrow queries test for a few values. */
const INDEXED_COLUMNS = ['msg_id', 'client_uuid', 'label'] as const;
type IndexedColumn = (typeof INDEXED_COLUMNS)[number];

/**
 * Finds the feeds that a changed task may concern. Feeds whose queries require certain ids, clients or labels are looked
 * up by these values, so that a change costs the same for a hundred clients that watch their own tasks as for one.
 */
export class FeedIndex {
  readonly feeds: readonly Feed[];
  /** The columns that the feeds read, without buffers. */
  readonly columns: readonly TaskKey[];
  /** Feeds that a change of any task may concern. */
  readonly #unkeyedFeeds: Feed[] = [];
  readonly #feedsByKey: { readonly [K in IndexedColumn]: Map<string, Feed[]> } = {
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
    for (const key of INDEXED_COLUMNS) if (this.#feedsByKey[key].size > 0) columns.add(key);
    this.columns = [...columns];
  }

  /** The feeds that a change may concern. */
  feedsFor({ msgId, value }: LogEntry<ChangedTask>, task: FoundTask | undefined): readonly Feed[] {
    const { msg_id, client_uuid, label } = this.#feedsByKey;
    const byId = msg_id.get(msgId) ?? [];
    // The earlier client and label of a task that is removed, or had output before its request, are unknown.
    if (task === undefined || value.hadOutputFirst || (task.submitted ?? null) === null) {
      return [...this.#unkeyedFeeds, ...byId, ...allFeeds(client_uuid), ...allFeeds(label)];
    }
    const byClient = feedsOf(client_uuid, task.client_uuid);
    const byLabel = feedsOf(label, task.label);
    if (byId.length + byClient.length + byLabel.length === 0) return this.#unkeyedFeeds;
    return [...this.#unkeyedFeeds, ...byId, ...byClient, ...byLabel];
  }

  #add(feed: Feed): void {
    const requirement = requiredTexts(feed.query);
    if (requirement === undefined) {
      this.#unkeyedFeeds.push(feed);
      return;
    }
    const map = this.#feedsByKey[requirement.key];
    for (const text of requirement.texts) {
      const feeds = map.get(text);
      if (feeds === undefined) map.set(text, [feed]);
      else feeds.push(feed);
    }
  }
}

/** The values of which a matching task has one; undefined if the query requires none. */
function requiredTexts(
  query: QueryNode,
): { readonly key: IndexedColumn; readonly texts: ReadonlySet<string> } | undefined {
  for (const part of conjunctsOf(query)) {
    if (part.kind !== 'test' || part.field.path.length > 0) continue;
    const key = INDEXED_COLUMNS.find((each) => each === part.field.column);
    if (key === undefined) continue;
    const { comparison } = part;
    const values: readonly unknown[] | undefined =
      comparison.op === '$eq' ? [comparison.value] : comparison.op === '$in' ? comparison.values : undefined;
    if (values?.every((value) => typeof value === 'string')) return { key, texts: new Set(values) };
  }
  return undefined;
}

function feedsOf(feeds: ReadonlyMap<string, Feed[]>, text: unknown): readonly Feed[] {
  return typeof text === 'string' ? (feeds.get(text) ?? []) : [];
}

/** Returns each feed once. */
function allFeeds(feeds: ReadonlyMap<string, Feed[]>): Set<Feed> {
  return new Set([...feeds.values()].flat());
}
