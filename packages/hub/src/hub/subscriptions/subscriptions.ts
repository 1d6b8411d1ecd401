import { type AnyMessage, type Dict, newId, type Session } from '@ipyparallel-js/protocol';
import { BoundedSet, isDict, parseQuery } from '@ipyparallel-js/protocol/internal';
import type { Logger, RefusalCounter } from '@ipyparallel-js/wire';
import { ReportedError } from '../../common/errors.js';
import type { FoundTask, Selection, TaskChange, TaskDatabase } from '../../db/task-database.js';
import type { TaskTracker } from '../recording/task-tracker.js';
import { askedFor } from '../requests/record-projection.js';
import type { Reply } from '../requests/reply.js';
import { ChangeLog, type LogEntry } from './change-log.js';
import { Delivery } from './delivery.js';
import { type Evaluated, Evaluator } from './evaluator.js';
import { Feed, type Touched } from './feed.js';
import type { ToldPlace } from './feed-history.js';
import { FeedIndex } from './feed-index.js';
import { type ResumeLimits, Resumption } from './resumption.js';
import { Subscription } from './subscription.js';
import { updateMessage } from './update-message.js';

/** How much a hub does for its subscribers. */
export interface SubscriptionLimits extends ResumeLimits {
  /** Changed tasks remembered, for those who resume or are slow; 65,536 by default. */
  readonly remembered: number;
  /** Subscriptions of one session; 256 by default. */
  readonly perSession: number;
  /** Subscriptions in all; 4,096 by default. */
  readonly total: number;
  /** Distinct queries; 1,024 by default. */
  readonly queries: number;
  /** How long a subscriber may say nothing, in ms; 60,000 by default. */
  readonly silence: number;
}

const DEFAULT_LIMITS: SubscriptionLimits = {
  remembered: 65_536,
  perSession: 256,
  total: 4096,
  queries: 1024,
  silence: 60_000,
  resumeTime: 600_000,
  resumeChanges: 20_000,
  resumeBytes: 64 * 1024 ** 2,
  resumeQueries: 16,
};

/** What subscriptions work with. */
export interface SubscriptionsOptions {
  readonly session: Session;
  readonly db: TaskDatabase;
  readonly tracker: TaskTracker;
  readonly epoch: string;
  /** Sends to a routing identity. */
  readonly send: (client: Buffer, parent: Dict, type: string, reply: Reply) => void;
  /** Has the store say what it culled lately. */
  readonly poke: () => void;
  readonly refusals: RefusalCounter;
  readonly log: Logger;
  readonly limits?: Partial<SubscriptionLimits>;
}

/** Tasks evaluated at a time. */
const CHUNK = 256;
/** Looked after this often, in ms. */
const PERIOD = 5000;
/** How long a store that cannot be read is left alone, in ms. */
const RETRY = 500;
/** After a read that took long the thread is left to others for as long, up to so many ms. */
const LONGEST_REST = 25;

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => (ms < 1 ? setImmediate(resolve) : setTimeout(resolve, ms)));

/**
 * Pushes what changes to those who asked. A log has the ids of what changed, in the order of the writes; after each
 * write the newly changed are read once and shown to each distinct query. A subscriber is a place in that log: a slow
 * one costs nothing, and finds the latest state when it has credit again.
 */
export class Subscriptions {
  readonly #options: SubscriptionsOptions;
  readonly #limits: SubscriptionLimits;
  readonly #evaluator: Evaluator;
  readonly #log: ChangeLog<Touched>;
  readonly #delivery: Delivery;
  readonly #resumption: Resumption;
  readonly #feeds = new Map<string, Feed>();
  /** Of all feeds; undefined when one came or went. */
  #index: FeedIndex | undefined;
  readonly #subscriptions = new Map<string, Subscription>();
  /** Tasks of which output came before the request. */
  readonly #early = new BoundedSet(4096);
  readonly #timer: NodeJS.Timeout;
  /** Feeds that nobody subscribes to, kept for those who come back, the one that was left first first; with what was told. */
  readonly #left = new Map<Feed, { readonly at: number; readonly told: number }>();
  #waiting: (() => void)[] = [];
  #seq = 0;
  /** All feeds know of the changes up to this one. */
  #evaluated = 0;
  #pumping = false;
  #failing = false;
  #closed = false;

  constructor(options: SubscriptionsOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#log = new ChangeLog(this.#limits.remembered);
    this.#evaluator = new Evaluator(options.db, options.tracker, options.session.codec);
    this.#resumption = new Resumption({
      ...{ db: options.db, tracker: options.tracker, codec: options.session.codec, log: this.#log },
      ...{ limits: this.#limits, latest: () => this.#seq, feeds: () => this.#feeds.values() },
    });
    this.#delivery = new Delivery({
      log: this.#log,
      evaluatedTo: () => this.#evaluated,
      evaluate: async (feed, entries) => (await this.#evaluate(new FeedIndex([feed]), entries))?.get(feed),
      isOpen: (subscription) => this.#subscriptions.get(subscription.id) === subscription,
      send: (client, parent, reply) => options.send(client, parent, 'subscription_update', reply),
    });
    this.#timer = setInterval(() => this.#lookAfter(), Math.min(PERIOD, this.#limits.silence / 2));
    this.#timer.unref();
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#subscriptions.clear();
    this.#feeds.clear();
    this.#left.clear();
    this.#evaluatedOn();
  }

  /** How many there are, and of how many queries. */
  get counts(): { readonly subscriptions: number; readonly queries: number } {
    return { subscriptions: this.#subscriptions.size, queries: this.#feeds.size };
  }

  // What has changed.

  /** These changes are about to be written: what they change is read first, where somebody may come back to it. */
  beforeWrite(changes: readonly TaskChange[]): Promise<void> | undefined {
    return this.#resumption.beforeWrite(changes, (msgId) => this.#early.has(msgId));
  }

  /** The same of what is about to be removed. */
  beforeRemoval(selection: Selection): Promise<void> {
    return this.#resumption.beforeRemoval(selection);
  }

  /** These changes are in the Task Database now. */
  written(changes: readonly TaskChange[]): void {
    for (const change of changes) {
      if (change.op === 'add') {
        const msgId = change.task.msg_id;
        const early = this.#early.delete(msgId);
        this.#touch(msgId, { gone: false, early, ...(early ? {} : { added: this.#seq + 1 }) });
        continue;
      }
      const { msgId } = change;
      const { pending, completed } = this.#options.tracker;
      if (change.orAdd === true && !pending.has(msgId) && !completed.has(msgId)) this.#early.add(msgId);
      this.#touch(msgId);
    }
    this.#changed();
  }

  /** These tasks are in the Task Database no more; `tasks`: as they were, where that is known. */
  removed(msgIds: readonly string[], tasks?: ReadonlyMap<string, FoundTask>): void {
    this.#resumption.removed(msgIds, tasks);
    for (const msgId of msgIds) this.#touch(msgId, { gone: true, early: false });
    this.#changed();
  }

  /** An engine has begun with a task. */
  begun(msgId: string): void {
    this.#touch(msgId);
    this.#changed();
  }

  #touch(msgId: string, how?: Touched): void {
    const before = this.#log.latest(msgId)?.value;
    const value = how ?? before ?? { gone: false, early: false };
    const early = value.early || (before?.early === true && !value.gone);
    const added = value.added ?? before?.added;
    this.#log.add(++this.#seq, msgId, { gone: value.gone, early, added });
  }

  #changed(): void {
    this.#log.trim();
    if (this.#feeds.size > 0 && !this.#pumping) void this.#pump();
  }

  // Requests.

  /** `subscribe_request` */
  async subscribe(content: Dict, request: AnyMessage): Promise<Reply> {
    // A hub that remembers nothing says so.
    await this.#options.db.get([], ['msg_id']);
    const client = request.idents[0];
    if (client === undefined) throw new ReportedError('ValueError', 'the request has no sender');
    const query = parseQuery(content['query'] ?? {}, { dates: 'text' });
    const asked = askedFor(content['keys']);
    const { session } = request.header;
    this.#makeRoom(client, session);
    const name = JSON.stringify([content['query'] ?? {}, asked?.map((key) => key.name) ?? null]);
    const feed = this.#feeds.get(name) ?? this.#open(new Feed(name, query, asked));
    this.#left.delete(feed);
    if (content['resumable'] === true) this.#resumption.begin(feed);
    const after = this.#resumable(content['after']);
    const { tracker, epoch } = this.#options;
    const seq = after ?? this.#seq;
    const asker = { client: Buffer.from(client), session, parent: request.header };
    const subscription = new Subscription(newId(), asker, feed, { seq, now: performance.now() });
    // What an engine has begun with already is told once; a snapshot does not say it.
    if (after === undefined) subscription.extra = [...tracker.begun.keys()];
    this.#subscriptions.set(subscription.id, subscription);
    this.#noteReading(feed);
    setImmediate(() => this.#delivery.deliver(subscription));
    const resumed = after !== undefined;
    const { silence } = this.#limits;
    return { content: { status: 'ok', subscription: subscription.id, epoch, seq, resumed, silence } };
  }

  /** `subscription_sync_request` */
  async sync(content: Dict, request: AnyMessage): Promise<Reply> {
    const subscription = this.#own(content, request);
    if (subscription === undefined)
      throw new ReportedError('KeyError', 'there is no such subscription of this sender');
    subscription.heard = performance.now();
    // What a reader of the store may have seen is in the log after this.
    await this.#options.db.get([], ['msg_id']);
    const seq = this.#seq;
    while (this.#evaluated < seq && !this.#closed && this.#subscriptions.has(subscription.id))
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    subscription.syncTo = seq;
    subscription.readBefore = seq;
    this.#noteReading(subscription.feed);
    setImmediate(() => this.#delivery.deliver(subscription));
    const { after } = content;
    if (after === undefined) return { content: { status: 'ok', seq } };
    const { feed } = subscription;
    const before = isPlace(after) ? this.#resumption.before(feed, after, subscription.start) : undefined;
    if (before === undefined) return { content: { status: 'ok', seq, changes: null } };
    const { told, rest } = before;
    const begun = Object.fromEntries(this.#options.tracker.begun);
    return updateMessage({ status: 'ok', seq, begun, told: told.length }, feed, [...told, ...rest]);
  }

  /** A feed needs not speak of what was never told of, unless somebody may have read of it. */
  #noteReading(feed: Feed): void {
    let latest = 0;
    for (const other of this.#subscriptions.values()) {
      if (other.feed !== feed) continue;
      if (other.readBefore === undefined) {
        feed.readBefore = undefined;
        return;
      }
      latest = Math.max(latest, other.readBefore);
    }
    feed.readBefore = latest;
  }

  #evaluatedOn(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** `unsubscribe_request`; one that is not there (any more) is no error. */
  unsubscribe(content: Dict, request: AnyMessage): Reply {
    const subscription = this.#own(content, request);
    if (subscription !== undefined) this.#remove(subscription);
    return { content: { status: 'ok' } };
  }

  /** `subscription_ack` and `subscription_renew`, which have no reply, except that one of nothing is told so. */
  heard(content: Dict, request: AnyMessage): void {
    const { acks } = content;
    if (request.msg_type === 'subscription_ack' && Array.isArray(acks)) {
      for (const ack of acks as unknown[])
        if (Array.isArray(ack)) this.#heardOne({ subscription: ack[0], seq: ack[1] }, request);
      return;
    }
    this.#heardOne(content, request);
  }

  #heardOne(content: Dict, request: AnyMessage): void {
    const subscription = this.#own(content, request);
    if (subscription === undefined) {
      this.#refuseUnknown(content, request);
      return;
    }
    subscription.heard = performance.now();
    const seq = content['seq'];
    if (request.msg_type === 'subscription_ack') {
      if (!Number.isSafeInteger(seq) || Number(seq) > subscription.told) {
        this.#options.refusals.count('an acknowledgement of what was not sent');
        return;
      }
      subscription.acknowledge(Number(seq));
    }
    this.#delivery.deliver(subscription);
    if (request.msg_type === 'subscription_renew') this.#delivery.tellPlace(subscription);
  }

  #own(content: Dict, { idents }: AnyMessage): Subscription | undefined {
    const id = content['subscription'];
    const subscription = typeof id === 'string' ? this.#subscriptions.get(id) : undefined;
    const client = idents[0];
    return client !== undefined && subscription?.client.equals(client) === true ? subscription : undefined;
  }

  #refuseUnknown(content: Dict, request: AnyMessage): void {
    const [client] = request.idents;
    const id = content['subscription'];
    if (client === undefined || typeof id !== 'string') {
      this.#options.refusals.count(`a ${request.msg_type} without a subscription`);
      return;
    }
    const ended = 'there is no such subscription of this sender; it may have expired';
    this.#delivery.tellEnd(client, {}, id, ended);
  }

  #resumable(after: unknown): number | undefined {
    if (!isDict(after) || after['epoch'] !== this.#options.epoch) return undefined;
    const seq = after['seq'];
    if (!Number.isSafeInteger(seq)) return undefined;
    return Number(seq) >= this.#log.floor && Number(seq) <= this.#seq ? Number(seq) : undefined;
  }

  #makeRoom(client: Buffer, session: string): void {
    const own = [...this.#subscriptions.values()].filter((other) => other.session === session);
    let count = own.length;
    // A session has one connection at a time: those of an earlier one are heard of no more.
    for (const other of own) {
      if (count < this.#limits.perSession) break;
      if (other.client.equals(client)) continue;
      this.#remove(other);
      count--;
    }
    const { perSession, total } = this.#limits;
    if (count >= perSession)
      throw new ReportedError(
        'TooManySubscriptions',
        `this session has ${count} subscriptions, and may have ${perSession}`,
      );
    if (this.#subscriptions.size >= total)
      throw new ReportedError(
        'TooManySubscriptions',
        `this hub has ${total} subscriptions, and takes no more`,
      );
  }

  #open(feed: Feed): Feed {
    const { queries } = this.#limits;
    const [oldest] = this.#left.keys();
    if (this.#feeds.size >= queries && oldest !== undefined) this.#drop(oldest);
    if (this.#feeds.size >= queries)
      throw new ReportedError(
        'TooManySubscriptions',
        `this hub evaluates ${queries} distinct queries, and takes no more`,
      );
    if (this.#feeds.size === 0) this.#evaluated = this.#seq;
    feed.log.clear(this.#seq);
    this.#feeds.set(feed.name, feed);
    this.#index = undefined;
    return feed;
  }

  #remove(subscription: Subscription): void {
    if (!this.#subscriptions.delete(subscription.id)) return;
    const { feed } = subscription;
    this.#noteReading(feed);
    for (const other of this.#subscriptions.values()) if (other.feed === feed) return;
    if (feed.history === undefined) this.#drop(feed);
    else this.#leave(feed, subscription.told);
  }

  /** Nobody subscribes to a feed any more, but somebody may come back. */
  #leave(feed: Feed, told: number): void {
    this.#left.set(feed, { at: performance.now(), told });
    for (const oldest of this.#left.keys()) {
      if (this.#left.size <= this.#limits.resumeQueries) return;
      this.#drop(oldest);
    }
  }

  #drop(feed: Feed): void {
    this.#left.delete(feed);
    this.#feeds.delete(feed.name);
    this.#index = undefined;
  }

  /** Forgets the feeds that nobody can come back to any more. */
  #dropForgotten(): void {
    const oldest = performance.now() - this.#limits.resumeTime;
    for (const [feed, { at, told }] of this.#left)
      if (at < oldest || (feed.history?.floor ?? 0) > told) this.#drop(feed);
  }

  #lookAfter(): void {
    const now = performance.now();
    for (const subscription of this.#subscriptions.values()) {
      if (now - subscription.heard <= this.#limits.silence) continue;
      this.#remove(subscription);
      const { client, parent, id } = subscription;
      const ended = `nothing was heard of its subscriber for ${this.#limits.silence / 1000} s`;
      this.#options.log.info(`a subscription has ended: ${ended}`);
      this.#delivery.tellEnd(client, parent, id, ended);
    }
    this.#resumption.trim();
    this.#dropForgotten();
    if (this.#feeds.size > 0) this.#options.poke();
  }

  // Evaluation.

  async #pump(): Promise<void> {
    this.#pumping = true;
    try {
      while (this.#feeds.size > 0 && this.#evaluated < this.#seq && !this.#closed) {
        const since = performance.now();
        const more = await this.#step();
        const took = performance.now() - since;
        if (more || took > 1) await pause(Math.min(took, LONGEST_REST));
      }
    } finally {
      this.#pumping = false;
    }
  }

  /** Shows some of the newly changed tasks to all feeds; whether there was more than that. */
  async #step(): Promise<boolean> {
    if (this.#evaluated < this.#log.floor) this.#skip();
    const upTo = this.#seq;
    const entries = [...this.#log.after(this.#evaluated, CHUNK)];
    const last = entries.length < CHUNK ? upTo : (entries.at(-1)?.seq ?? upTo);
    this.#index ??= new FeedIndex([...this.#feeds.values()]);
    const index = this.#index;
    const results = await this.#evaluate(index, entries);
    if (results === undefined) return true;
    this.#evaluated = Math.max(this.#evaluated, last);
    for (const [feed, evaluated] of results) {
      for (const { entry, change } of evaluated) {
        if (entry.seq > feed.log.floor) feed.log.add(entry.seq, entry.msgId, change, change.bytes);
      }
      this.#resumption.told(feed, evaluated);
    }
    this.#evaluatedOn();
    for (const subscription of this.#subscriptions.values()) this.#delivery.deliver(subscription);
    for (const [feed, evaluated] of results) if (evaluated.length > 0) feed.trim(this.#feeds.size);
    this.#resumption.trim();
    this.#dropForgotten();
    return last < this.#seq;
  }

  /** Undefined where the store could not be read; it is to be tried again then. */
  async #evaluate(
    index: FeedIndex,
    entries: readonly LogEntry<Touched>[],
  ): Promise<Map<Feed, Evaluated[]> | undefined> {
    try {
      const results = await this.#evaluator.evaluate(index, entries);
      this.#failing = false;
      return results;
    } catch (error) {
      if (this.#closed) return undefined;
      // Not a word at each try: the store says more of it.
      if (!this.#failing) this.#options.log.warn('what has changed cannot be read for subscribers', error);
      this.#failing = true;
      await pause(RETRY);
      return undefined;
    }
  }

  /** So much has changed that the log has forgotten some of it: everybody begins anew. */
  #skip(): void {
    this.#evaluated = this.#seq;
    for (const feed of this.#feeds.values()) {
      feed.log.clear(this.#seq);
      feed.history?.forget(this.#seq);
    }
  }
}

function isPlace(place: unknown): place is ToldPlace {
  return isDict(place) && ['base', 'seq', 'upTo'].every((key) => Number.isSafeInteger(place[key]));
}
