import type { Dict } from '@ipyparallel-js/protocol';
import type { Reply } from '../requests/reply.js';
import type { ChangeLog, LogEntry } from './change-log.js';
import type { Evaluated } from './evaluator.js';
import type { Feed, Touched } from './feed.js';
import type { FeedChange } from './feed-history.js';
import type { Subscription } from './subscription.js';
import { updateMessage } from './update-message.js';

/** What a delivery works with. */
export interface DeliveryOptions {
  /** The changed tasks. */
  readonly log: ChangeLog<Touched>;
  /** All feeds know of the changes up to this one. */
  readonly evaluatedTo: () => number;
  /** Undefined where the store could not be read; it is to be tried again then. */
  readonly evaluate: (
    feed: Feed,
    entries: readonly LogEntry<Touched>[],
  ) => Promise<readonly Evaluated[] | undefined>;
  readonly isOpen: (subscription: Subscription) => boolean;
  /** Sends an update to a routing identity. */
  readonly send: (client: Buffer, parent: Dict, reply: Reply) => void;
}

/** An update ends with the change that reaches this many bytes. */
const UPDATE_BYTES = 1 << 20;
/** Tasks evaluated at a time for one subscriber alone. */
const CHUNK = 256;

const yieldToOthers = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const NO_BUFFERS = { buffer_lens: null, result_buffer_lens: null };

/** Sends subscribers what they have credit for: from their feed's memory or, where that does not reach back, read anew. */
export class Delivery {
  readonly #options: DeliveryOptions;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  /** Sends what there is, as far as there is credit. */
  deliver(subscription: Subscription): void {
    const { feed } = subscription;
    if (subscription.catchingUp || !this.#options.isOpen(subscription)) return;
    if (subscription.extra.length > 0 || subscription.position < feed.log.floor) {
      void this.#catchUp(subscription);
      return;
    }
    const upTo = Math.max(this.#options.evaluatedTo(), feed.log.floor);
    while (subscription.hasCredit && subscription.position < upTo) {
      const changes: FeedChange[] = [];
      let bytes = 0;
      let seq = upTo;
      for (const { seq: at, value } of feed.log.after(subscription.position)) {
        if (bytes >= UPDATE_BYTES) break;
        changes.push(value);
        bytes += value.bytes;
        seq = bytes >= UPDATE_BYTES ? at : upTo;
      }
      if (changes.length === 0) subscription.position = upTo;
      else this.#send(subscription, seq, changes, seq === upTo);
    }
    const { syncTo } = subscription;
    if (syncTo === undefined || subscription.position < syncTo) return;
    const complete = subscription.position >= upTo;
    const isTold = subscription.told >= syncTo && (subscription.complete || !complete);
    if (!isTold && !subscription.hasCredit) return;
    subscription.syncTo = undefined;
    if (!isTold) this.#send(subscription, subscription.position, [], complete);
  }

  /** Brings one that resumes, or that was too slow for its feed's memory, to where the feed remembers from. */
  async #catchUp(subscription: Subscription): Promise<void> {
    const { feed } = subscription;
    subscription.catchingUp = true;
    try {
      while (this.#options.isOpen(subscription) && subscription.hasCredit) {
        const { extra } = subscription;
        if (extra.length > 0) await this.#tellExtra(subscription, extra.slice(0, CHUNK));
        else if (subscription.position >= feed.log.floor) break;
        else if (subscription.position < this.#options.log.floor) this.#reset(subscription);
        else await this.#tellPast(subscription);
        await yieldToOthers();
      }
    } finally {
      subscription.catchingUp = false;
    }
    if (!this.#options.isOpen(subscription) || !subscription.hasCredit) return;
    this.deliver(subscription);
  }

  async #tellExtra(subscription: Subscription, ids: readonly string[]): Promise<void> {
    const { feed, start } = subscription;
    const entries = ids.map((msgId) => ({ seq: start, msgId, value: { gone: false, early: false } }));
    const evaluated = await this.#options.evaluate(feed, entries);
    if (evaluated === undefined) return;
    subscription.extra = subscription.extra.slice(ids.length);
    const changes = evaluated
      // What has changed since comes anyway.
      .filter(({ entry, change }) => change.buffers !== undefined && !this.#hasChanged(entry.msgId, start))
      .map(({ change }) => change);
    if (changes.length > 0) this.#send(subscription, subscription.position, changes);
  }

  async #tellPast(subscription: Subscription): Promise<void> {
    const { feed, position } = subscription;
    const upTo = feed.log.floor;
    const entries: LogEntry<Touched>[] = [];
    for (const entry of this.#options.log.after(position, CHUNK)) if (entry.seq <= upTo) entries.push(entry);
    const end = entries.length < CHUNK ? upTo : (entries.at(-1)?.seq ?? upTo);
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
    return (this.#options.log.latest(msgId)?.seq ?? 0) > since;
  }

  #reset(subscription: Subscription): void {
    const seq = Math.max(this.#options.evaluatedTo(), subscription.feed.log.floor);
    const { id, client, parent } = subscription;
    subscription.sent(seq, false);
    // Its client reads a snapshot now.
    subscription.readBefore = undefined;
    subscription.feed.readBefore = undefined;
    const content = { subscription: id, seq, changes: [], reset: true, ...NO_BUFFERS };
    this.#options.send(client, parent, { content });
  }

  /** An update without changes: so that one to whom nothing happens can resume from where the hub is. */
  tellPlace(subscription: Subscription): void {
    if (!subscription.hasCredit || subscription.position <= subscription.told) return;
    this.#send(subscription, subscription.position, [], subscription.complete);
  }

  /** The last update of a subscription, or of one that is not there. */
  tellEnd(client: Buffer, parent: Dict, subscription: string, ended: string): void {
    this.#options.send(client, parent, {
      content: { subscription, seq: 0, changes: [], ...NO_BUFFERS, ended },
    });
  }

  #send(subscription: Subscription, seq: number, changes: readonly FeedChange[], complete = false): void {
    subscription.sent(seq, complete);
    const { client, parent, feed, id } = subscription;
    const head = { subscription: id, seq, ...(complete ? { complete } : {}) };
    this.#options.send(client, parent, updateMessage(head, feed, changes));
  }
}
