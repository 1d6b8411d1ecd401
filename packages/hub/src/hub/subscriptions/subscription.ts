import type { Dict } from '@ipyparallel-js/protocol';
import type { Feed } from './feed.js';

/** How many updates may be sent without an acknowledgement. */
const MAX_UNACKNOWLEDGED = 2;

/** The sender of a subscribe request. */
export interface Subscriber {
  readonly client: Buffer;
  readonly session: string;
  readonly parent: Dict;
}

/** A subscriber of a feed, and its position. */
export class Subscription {
  readonly id: string;
  /** The routing identity of the subscriber; only it may acknowledge updates and end the subscription. */
  readonly client: Buffer;
  readonly session: string;
  /** The header of the subscribe request. */
  readonly parent: Dict;
  readonly feed: Feed;
  /** The sequence number at which the subscription began. */
  readonly start: number;
  /** All changes up to this sequence number were sent, or do not concern the subscriber. */
  position: number;
  /** The sequence number of the last update sent. */
  sentSeq: number;
  /** The client's snapshot was read before this sequence number; undefined while it may still be read. */
  snapshotSeq: number | undefined;
  /** Whether the last update contained all changes up to `sentSeq`, with none held back because of its size. */
  isComplete = false;
  /** Tasks to send although they have not changed since the start. */
  initialTasks: readonly string[] = [];
  /** The subscriber must receive an update once its position reaches this. */
  syncSeq: number | undefined;
  /** Whether the subscriber is being brought to the start of its feed's log. */
  isCatchingUp = false;
  /** When the hub received the last message of the subscriber, by `performance.now()`. */
  lastSeen: number;
  readonly #unacknowledgedSeqs: number[] = [];

  constructor(
    id: string,
    subscriber: Subscriber,
    feed: Feed,
    position: { readonly seq: number; readonly now: number },
  ) {
    this.id = id;
    this.client = subscriber.client;
    this.session = subscriber.session;
    this.parent = subscriber.parent;
    this.feed = feed;
    this.start = position.seq;
    this.position = position.seq;
    this.sentSeq = position.seq;
    this.lastSeen = position.now;
  }

  get hasCredit(): boolean {
    return this.#unacknowledgedSeqs.length < MAX_UNACKNOWLEDGED;
  }

  /** Records that an update up to `seq` was sent. */
  recordSent(seq: number, isComplete: boolean): void {
    this.isComplete = isComplete;
    this.position = seq;
    this.sentSeq = seq;
    this.#unacknowledgedSeqs.push(seq);
  }

  /** Restores the credit for all updates up to `seq`. */
  acknowledge(seq: number): void {
    while (this.#unacknowledgedSeqs[0] !== undefined && this.#unacknowledgedSeqs[0] <= seq) {
      this.#unacknowledgedSeqs.shift();
    }
  }
}
