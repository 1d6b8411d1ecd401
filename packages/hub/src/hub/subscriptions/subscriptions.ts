import { type AnyMessage, type Dict, newId, type Session } from '@ipyparallel-js/protocol';
import { describe, isDict, parseQuery } from '@ipyparallel-js/protocol/internal';
import type { Logger, RefusalCounter } from '@ipyparallel-js/wire';
import { ReportedError } from '../../common/errors.js';
import type { FoundTask, Selection, TaskChange, TaskDatabase } from '../../db/task-database.js';
import type { TaskTracker } from '../recording/task-tracker.js';
import type { RemovalListener } from '../requests/hub-state.js';
import { requestedKeys } from '../requests/record-projection.js';
import type { Reply } from '../requests/reply.js';
import { ChangedTasks } from './changed-tasks.js';
import { Delivery } from './delivery.js';
import { EvaluationPump } from './evaluation-pump.js';
import { type EvaluatedChange, Evaluator } from './evaluator.js';
import { Feed } from './feed.js';
import type { FeedPosition } from './feed-history.js';
import { type ResumeLimits, Resumption } from './resumption.js';
import { Subscription } from './subscription.js';
import { SubscriptionTable, type TableLimits } from './subscription-table.js';
import { updateMessage } from './update-message.js';

/** The limits of a hub's subscriptions. */
export interface SubscriptionLimits extends ResumeLimits, TableLimits {
  /** Changed tasks in the log, for subscribers that resume or are slow; 65,536 by default. */
  readonly changedTasks: number;
  /** How long a subscriber may be silent before its subscription ends, in ms; 60,000 by default. */
  readonly silence: number;
}

const DEFAULT_LIMITS: SubscriptionLimits = {
  changedTasks: 65_536,
  perSession: 256,
  total: 4096,
  queries: 1024,
  silence: 60_000,
  resumeTime: 600_000,
  resumeChanges: 20_000,
  resumeBytes: 64 * 1024 ** 2,
  resumeQueries: 16,
};

export interface SubscriptionsOptions {
  readonly session: Session;
  readonly db: TaskDatabase;
  readonly tracker: TaskTracker;
  readonly epoch: string;
  /** Sends a message to a routing identity. */
  readonly send: (client: Buffer, parent: Dict, type: string, reply: Reply) => void;
  /** Makes the store report the tasks that it has culled. */
  readonly flushCulled: () => void;
  readonly refusals: RefusalCounter;
  readonly log: Logger;
  readonly limits?: Partial<SubscriptionLimits>;
}

/** How often silent subscriptions and old histories are removed, in ms. */
const CLEANUP_PERIOD = 5000;

/**
 * Pushes changes of the Task Database to subscribers. After each write, the hub reads the changed tasks once and
 * evaluates each distinct query on them. A subscriber is a position in the log of changed tasks, so a slow one
 * uses no memory, and receives the latest state when it has credit again.
 */
export class Subscriptions implements RemovalListener {
  readonly #options: SubscriptionsOptions;
  readonly #limits: SubscriptionLimits;
  readonly #changedTasks: ChangedTasks;
  readonly #table: SubscriptionTable;
  readonly #pump: EvaluationPump;
  readonly #delivery: Delivery;
  readonly #resumption: Resumption;
  readonly #timer: NodeJS.Timeout;

  constructor(options: SubscriptionsOptions) {
    const { db, tracker, log, session } = options;
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    const changedTasks = new ChangedTasks(tracker, this.#limits.changedTasks);
    const table = new SubscriptionTable(this.#limits);
    this.#changedTasks = changedTasks;
    this.#table = table;
    this.#resumption = new Resumption({
      db,
      tracker,
      codec: session.codec,
      changedTasks,
      table,
      limits: this.#limits,
    });
    const pump = new EvaluationPump({
      ...{ table, changedTasks, log, evaluator: new Evaluator(db, tracker, session.codec) },
      onEvaluated: (results) => this.#publish(results),
    });
    this.#pump = pump;
    this.#delivery = new Delivery({
      log: changedTasks.log,
      evaluatedSeq: () => pump.evaluatedSeq,
      evaluate: (feed, entries) => pump.evaluateFor(feed, entries),
      isOpen: (subscription) => table.has(subscription),
      send: (client, parent, reply) => options.send(client, parent, 'subscription_update', reply),
    });
    this.#timer = setInterval(() => this.#cleanUp(), Math.min(CLEANUP_PERIOD, this.#limits.silence / 2));
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#table.clear();
    this.#pump.close();
  }

  /** The numbers of subscriptions and of distinct queries. */
  get counts(): { readonly subscriptions: number; readonly queries: number } {
    return { subscriptions: this.#table.subscriptionCount, queries: this.#table.feedCount };
  }

  // Changes of the Task Database.

  /** Reads the tasks that these changes will change, if a client may resume from their present state. */
  beforeWrite(changes: readonly TaskChange[]): Promise<void> | undefined {
    return this.#resumption.beforeWrite(changes);
  }

  /** Reads the tasks that will be removed, if a client may resume from their present state. */
  beforeRemoval(selection: Selection): Promise<void> {
    return this.#resumption.beforeRemoval(selection);
  }

  /** Records changes that the Task Database has written. */
  onWritten(changes: readonly TaskChange[]): void {
    this.#changedTasks.recordWrite(changes);
    this.#pump.start();
  }

  /** Records that tasks were removed from the Task Database; `tasks` has the last states that the store returned. */
  onRemoved(msgIds: readonly string[], tasks?: ReadonlyMap<string, FoundTask>): void {
    this.#resumption.onRemoved(msgIds, tasks);
    this.#changedTasks.recordRemoval(msgIds);
    this.#pump.start();
  }

  /** Records that an engine has begun to run a task. */
  onStarted(msgId: string): void {
    this.#changedTasks.recordStart(msgId);
    this.#pump.start();
  }

  // Requests.

  /** Handles a `subscribe_request`: opens a subscription, and a feed if its query is new. */
  async subscribe(content: Dict, request: AnyMessage): Promise<Reply> {
    // Rejects on a hub without a Task Database.
    await this.#options.db.get([], ['msg_id']);
    const client = request.idents[0];
    if (client === undefined) throw new ReportedError('ValueError', 'the request has no sender');
    const query = parseQuery(content['query'] ?? {}, { dates: 'text' });
    const keys = requestedKeys(content['keys']);
    const { session } = request.header;
    this.#table.reserve(client, session);
    const name = JSON.stringify([content['query'] ?? {}, keys?.map((key) => key.name) ?? null]);
    const feed = this.#table.reopenFeed(name) ?? this.#openFeed(new Feed(name, query, keys));
    if (content['resumable'] === true) this.#resumption.startHistory(feed);
    const resumeSeq = this.#resumeSeq(content['after']);
    const { tracker, epoch } = this.#options;
    const seq = resumeSeq ?? this.#changedTasks.latestSeq;
    const subscriber = { client: Buffer.from(client), session, parent: request.header };
    const subscription = new Subscription(newId(), subscriber, feed, { seq, now: performance.now() });
    // A snapshot does not contain the start times of running tasks, so the first updates do.
    if (resumeSeq === undefined) subscription.initialTasks = [...tracker.startTimes.keys()];
    this.#table.add(subscription);
    setImmediate(() => this.#delivery.deliver(subscription));
    const resumed = resumeSeq !== undefined;
    const { silence } = this.#limits;
    return { content: { status: 'ok', subscription: subscription.id, epoch, seq, resumed, silence } };
  }

  /** Handles a `subscription_sync_request`: the subscriber receives all changes up to the returned `seq`. */
  async sync(content: Dict, request: AnyMessage): Promise<Reply> {
    const subscription = this.#find(content, request);
    if (subscription === undefined)
      throw new ReportedError(
        'KeyError',
        `the sender has no subscription ${describe(content['subscription'])}; it may have expired`,
      );
    subscription.lastSeen = performance.now();
    // After this read, the log contains every change that a reader of the store may have seen.
    await this.#options.db.get([], ['msg_id']);
    const seq = this.#changedTasks.latestSeq;
    await this.#pump.waitForSeq(seq, () => this.#table.has(subscription));
    subscription.syncSeq = seq;
    subscription.snapshotSeq = seq;
    this.#table.updateSnapshotSeq(subscription.feed);
    setImmediate(() => this.#delivery.deliver(subscription));
    const { after } = content;
    if (after === undefined) return { content: { status: 'ok', seq } };
    const { feed } = subscription;
    const state = isPosition(after) ? this.#resumption.stateAt(feed, after, subscription.start) : undefined;
    if (state === undefined) return { content: { status: 'ok', seq, changes: null } };
    const { sent, rest } = state;
    const begun = Object.fromEntries(this.#options.tracker.startTimes);
    return updateMessage({ status: 'ok', seq, begun, told: sent.length }, feed, [...sent, ...rest]);
  }

  /** Handles an `unsubscribe_request`; an unknown subscription is not an error. */
  unsubscribe(content: Dict, request: AnyMessage): Reply {
    const subscription = this.#find(content, request);
    if (subscription !== undefined) this.#table.remove(subscription);
    return { content: { status: 'ok' } };
  }

  /** Handles a `subscription_ack`, which has no reply: acknowledges one update, or with `acks` several. */
  acknowledge(content: Dict, request: AnyMessage): void {
    const { acks } = content;
    if (!Array.isArray(acks)) {
      this.#acknowledgeOne(content, request);
      return;
    }
    for (const ack of acks as unknown[])
      if (Array.isArray(ack)) this.#acknowledgeOne({ subscription: ack[0], seq: ack[1] }, request);
  }

  #acknowledgeOne(content: Dict, request: AnyMessage): void {
    const subscription = this.#findAndRenew(content, request);
    if (subscription === undefined) return;
    const seq = content['seq'];
    if (!Number.isSafeInteger(seq) || Number(seq) > subscription.sentSeq) {
      this.#options.refusals.count('an acknowledgement of an update that was not sent');
      return;
    }
    subscription.acknowledge(Number(seq));
    this.#delivery.deliver(subscription);
  }

  /** Handles a `subscription_renew`, which has no reply: keeps a subscription open. */
  renew(content: Dict, request: AnyMessage): void {
    const subscription = this.#findAndRenew(content, request);
    if (subscription === undefined) return;
    this.#delivery.deliver(subscription);
    this.#delivery.sendPosition(subscription);
  }

  /** Returns the subscription of a message and records when the message arrived; refuses an unknown subscription. */
  #findAndRenew(content: Dict, request: AnyMessage): Subscription | undefined {
    const subscription = this.#find(content, request);
    if (subscription === undefined) this.#refuseUnknown(content, request);
    else subscription.lastSeen = performance.now();
    return subscription;
  }

  #find(content: Dict, { idents }: AnyMessage): Subscription | undefined {
    const id = content['subscription'];
    const subscription = typeof id === 'string' ? this.#table.get(id) : undefined;
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
    const reason = 'the sender has no such subscription; it may have expired';
    this.#delivery.sendEnd(client, {}, id, reason);
  }

  /** The sequence number that a client can resume from; undefined if it cannot. */
  #resumeSeq(after: unknown): number | undefined {
    if (!isDict(after) || after['epoch'] !== this.#options.epoch) return undefined;
    const seq = after['seq'];
    if (!Number.isSafeInteger(seq)) return undefined;
    const { log, latestSeq } = this.#changedTasks;
    return Number(seq) >= log.floor && Number(seq) <= latestSeq ? Number(seq) : undefined;
  }

  #openFeed(feed: Feed): Feed {
    this.#table.addFeed(feed);
    if (this.#table.feedCount === 1) this.#pump.skipToLatest();
    feed.log.clear(this.#changedTasks.latestSeq);
    return feed;
  }

  #publish(results: ReadonlyMap<Feed, readonly EvaluatedChange[]>): void {
    for (const [feed, evaluated] of results) {
      for (const { entry, change } of evaluated) {
        if (entry.seq > feed.log.floor) feed.log.add(entry.seq, entry.msgId, change, change.bytes);
      }
      this.#resumption.record(feed, evaluated);
    }
    for (const subscription of this.#table.subscriptions) this.#delivery.deliver(subscription);
    for (const [feed, evaluated] of results) if (evaluated.length > 0) feed.trim(this.#table.feedCount);
    this.#resumption.trim();
    this.#table.removeExpiredFeeds();
  }

  #cleanUp(): void {
    const now = performance.now();
    for (const subscription of this.#table.subscriptions) {
      if (now - subscription.lastSeen <= this.#limits.silence) continue;
      this.#table.remove(subscription);
      const { client, parent, id } = subscription;
      const reason = `the subscriber sent nothing for ${this.#limits.silence / 1000} s`;
      this.#options.log.info(`ended a subscription: ${reason}`);
      this.#delivery.sendEnd(client, parent, id, reason);
    }
    this.#resumption.trim();
    this.#table.removeExpiredFeeds();
    if (this.#table.feedCount > 0) this.#options.flushCulled();
  }
}

function isPosition(value: unknown): value is FeedPosition {
  return isDict(value) && ['base', 'seq', 'upTo'].every((key) => Number.isSafeInteger(value[key]));
}
