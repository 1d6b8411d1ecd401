import type { Dict } from '@ipyparallel-js/protocol';
import type { Feed } from './feed.js';

/** Updates that may be on their way without having been acknowledged. */
const CREDIT = 2;

/** One subscriber of a feed, and how far it has been told. */
export class Subscription {
  readonly id: string;
  /** The routing identity that asked, which alone may acknowledge and end it. */
  readonly client: Buffer;
  readonly session: string;
  /** The header of its request. */
  readonly parent: Dict;
  readonly feed: Feed;
  /** Where it began. */
  readonly start: number;
  /** Everything up to this change has been told, or is nothing to it. */
  position: number;
  /** The same as its client knows it. */
  told: number;
  /** Its client's snapshot was read before this place; undefined while it may be being read. */
  readBefore: number | undefined;
  /** Everything up to `told` has been told: nothing was held back as too much for one update. */
  complete = false;
  /** Tasks to be told of although they have not changed since the start. */
  extra: readonly string[] = [];
  /** It is to be told when it has been told everything up to here. */
  syncTo: number | undefined;
  /** It is being brought to where its feed remembers from. */
  catchingUp = false;
  /** When its client was heard of last, by the hub's clock in ms. */
  heard: number;
  readonly #unacknowledged: number[] = [];

  constructor(
    id: string,
    asker: { readonly client: Buffer; readonly session: string; readonly parent: Dict },
    feed: Feed,
    at: { readonly seq: number; readonly now: number },
  ) {
    this.id = id;
    this.client = asker.client;
    this.session = asker.session;
    this.parent = asker.parent;
    this.feed = feed;
    this.start = at.seq;
    this.position = at.seq;
    this.told = at.seq;
    this.heard = at.now;
  }

  get hasCredit(): boolean {
    return this.#unacknowledged.length < CREDIT;
  }

  /** An update up to `seq` is on its way. */
  sent(seq: number, complete: boolean): void {
    this.complete = complete;
    this.position = seq;
    this.told = seq;
    this.#unacknowledged.push(seq);
  }

  /** Takes the credit back of what is acknowledged. */
  acknowledge(seq: number): void {
    while (this.#unacknowledged[0] !== undefined && this.#unacknowledged[0] <= seq) {
      this.#unacknowledged.shift();
    }
  }
}
