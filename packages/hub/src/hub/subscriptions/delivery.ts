import type { Dict } from '@ipyparallel-js/protocol';
import { nextTurn } from '../../common/event-loop.js';
import type { Reply } from '../requests/reply.js';
import type { ChangeLog, LogEntry } from './change-log.js';
import type { ChangedTask } from './changed-tasks.js';
import type { EvaluatedChange } from './evaluator.js';
import type { Feed } from './feed.js';
import type { FeedChange } from './feed-history.js';
import type { Subscription } from './subscription.js';
import { updateMessage } from './update-message.js';

export interface DeliveryOptions {
  /** The log of changed tasks. */
  readonly log: ChangeLog<ChangedTask>;
  /** All feeds have evaluated the changes up to this sequence number. */
  readonly evaluatedSeq: () => number;
  /** Resolves with undefined if the store could not be read; the caller must try again. */
  readonly evaluate: (
    feed: Feed,
    entries: readonly LogEntry<ChangedTask>[],
  ) => Promise<readonly EvaluatedChange[] | undefined>;
  readonly isOpen: (subscription: Subscription) => boolean;
  /** Sends an update to a routing identity. */
  readonly send: (client: Buffer, parent: Dict, reply: Reply) => void;
}

/** The size of an update in bytes: it ends with the change that reaches this. */
const UPDATE_BYTES = 1 << 20;
/** How many tasks are evaluated at a time for one subscriber. */
const CHUNK_TASKS = 256;

const NO_BUFFERS = { buffer_lens: null, result_buffer_lens: null };

/** Sends updates to subscribers that have credit: from the log of their feed, or from the store for changes before that log. */
export class Delivery {
  readonly #options: DeliveryOptions;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  /** Sends pending changes, as far as the subscriber has credit. */
  deliver(subscription: Subscription): void {
    const { feed } = subscription;
    if (subscription.isCatchingUp || !this.#options.isOpen(subscription)) return;
    if (subscription.initialTasks.length > 0 || subscription.position < feed.log.floor) {
      void this.#catchUp(subscription);
      return;
    }
    const upTo = Math.max(this.#options.evaluatedSeq(), feed.log.floor);
    while (subscription.hasCredit && subscription.position < upTo) {
      const changes: FeedChange[] = [];
      let bytes = 0;
      let seq = upTo;
      for (const { seq: entrySeq, value } of feed.log.entriesAfter(subscription.position)) {
        if (bytes >= UPDATE_BYTES) break;
        changes.push(value);
        bytes += value.bytes;
        seq = bytes >= UPDATE_BYTES ? entrySeq : upTo;
      }
      if (changes.length === 0) subscription.position = upTo;
      else this.#send(subscription, seq, changes, seq === upTo);
    }
    const { syncSeq } = subscription;
    if (syncSeq === undefined || subscription.position < syncSeq) return;
    const isComplete = subscription.position >= upTo;
    const isSynced = subscription.sentSeq >= syncSeq && (subscription.isComplete || !isComplete);
    if (!isSynced && !subscription.hasCredit) return;
    subscription.syncSeq = undefined;
    if (!isSynced) this.#send(subscription, subscription.position, [], isComplete);
  }

  /** Brings a subscriber that resumes, or was too slow, to the start of its feed's log. */
  async #catchUp(subscription: Subscription): Promise<void> {
    const { feed } = subscription;
    subscription.isCatchingUp = true;
    try {
      while (this.#options.isOpen(subscription) && subscription.hasCredit) {
        const { initialTasks } = subscription;
        if (initialTasks.length > 0)
          await this.#sendInitialTasks(subscription, initialTasks.slice(0, CHUNK_TASKS));
        else if (subscription.position >= feed.log.floor) break;
        else if (subscription.position < this.#options.log.floor) this.#reset(subscription);
        else await this.#sendFromLog(subscription);
        await nextTurn();
      }
    } finally {
      subscription.isCatchingUp = false;
    }
    if (!this.#options.isOpen(subscription) || !subscription.hasCredit) return;
    this.deliver(subscription);
  }

  async #sendInitialTasks(subscription: Subscription, ids: readonly string[]): Promise<void> {
    const { feed, start } = subscription;
    const entries = ids.map((msgId) => ({
      seq: start,
      msgId,
      value: { isRemoved: false, hadOutputFirst: false },
    }));
    const evaluated = await this.#options.evaluate(feed, entries);
    if (evaluated === undefined) return;
    subscription.initialTasks = subscription.initialTasks.slice(ids.length);
    const changes = evaluated
      // A task that has changed since is sent with that change.
      .filter(({ entry, change }) => change.buffers !== undefined && !this.#hasChanged(entry.msgId, start))
      .map(({ change }) => change);
    if (changes.length > 0) this.#send(subscription, subscription.position, changes);
  }

  async #sendFromLog(subscription: Subscription): Promise<void> {
    const { feed, position } = subscription;
    const upTo = feed.log.floor;
    const entries: LogEntry<ChangedTask>[] = [];
    for (const entry of this.#options.log.entriesAfter(position, CHUNK_TASKS))
      if (entry.seq <= upTo) entries.push(entry);
    const end = entries.length < CHUNK_TASKS ? upTo : (entries.at(-1)?.seq ?? upTo);
    const evaluated = await this.#options.evaluate(feed, entries);
    if (evaluated === undefined) return;
    let changes: FeedChange[] = [];
    let bytes = 0;
    for (const { entry, change } of evaluated) {
      if (this.#hasChanged(entry.msgId, entry.seq)) continue;
      changes.push(change);
      bytes += change.bytes;
      if (bytes < UPDATE_BYTES) continue;
      this.#send(subscription, entry.seq, changes);
      if (!subscription.hasCredit) return;
      changes = [];
      bytes = 0;
    }
    if (changes.length > 0) this.#send(subscription, end, changes);
    else subscription.position = end;
  }

  #hasChanged(msgId: string, since: number): boolean {
    return (this.#options.log.latestEntry(msgId)?.seq ?? 0) > since;
  }

  #reset(subscription: Subscription): void {
    const seq = Math.max(this.#options.evaluatedSeq(), subscription.feed.log.floor);
    const { id, client, parent } = subscription;
    subscription.recordSent(seq, false);
    // The client reads a snapshot now.
    subscription.snapshotSeq = undefined;
    subscription.feed.snapshotSeq = undefined;
    const content = { subscription: id, seq, changes: [], reset: true, ...NO_BUFFERS };
    this.#options.send(client, parent, { content });
  }

  /** Sends an update without changes, so that a subscriber whose tasks do not change can still resume from here. */
  sendPosition(subscription: Subscription): void {
    if (!subscription.hasCredit || subscription.position <= subscription.sentSeq) return;
    this.#send(subscription, subscription.position, [], subscription.isComplete);
  }

  /** Sends the last update of a subscription, also of an unknown one. */
  sendEnd(client: Buffer, parent: Dict, subscription: string, reason: string): void {
    this.#options.send(client, parent, {
      content: { subscription, seq: 0, changes: [], ...NO_BUFFERS, ended: reason },
    });
  }

  #send(subscription: Subscription, seq: number, changes: readonly FeedChange[], isComplete = false): void {
    subscription.recordSent(seq, isComplete);
    const { client, parent, feed, id } = subscription;
    const head = { subscription: id, seq, ...(isComplete ? { complete: isComplete } : {}) };
    this.#options.send(client, parent, updateMessage(head, feed, changes));
  }
}
