import { type AnyMessage, isMessageOf } from '@ipyparallel-js/protocol';

/** The highest number of stored updates whose subscription is not known yet. */
const MAX_EARLY_UPDATES = 32;

/** Delivers the updates that a hub pushes to their subscribers. */
export class UpdateInbox {
  readonly #readers = new Map<string, (update: AnyMessage) => void>();
  /** Pending subscribe requests. The first update can arrive together with the reply that names the subscription. */
  #pendingSubscriptions = 0;
  #acks: [string, number][] = [];
  #earlyUpdates: { readonly subscription: string; readonly update: AnyMessage }[] = [];

  /** Delivers a message of the query socket. @returns false when it is no update */
  deliver(message: AnyMessage): boolean {
    if (!isMessageOf(message, 'subscription_update')) return false;
    const { subscription } = message.content;
    const reader = this.#readers.get(subscription);
    if (reader !== undefined) reader(message);
    else if (this.#pendingSubscriptions > 0)
      this.#earlyUpdates = [...this.#earlyUpdates, { subscription, update: message }].slice(
        -MAX_EARLY_UPDATES,
      );
    return true;
  }

  /** Acknowledges an update. `send` sends all acknowledgements of one iteration of the event loop in one message. */
  acknowledge(
    subscription: string,
    seq: number,
    send: (acks: readonly (readonly [string, number])[]) => void,
  ): void {
    this.#acks.push([subscription, seq]);
    if (this.#acks.length > 1) return;
    setImmediate(() => send(this.#acks.splice(0)));
  }

  /** Announces a subscribe request, until the returned function is called. */
  expectSubscription(): () => void {
    this.#pendingSubscriptions++;
    return () => {
      this.#pendingSubscriptions--;
      if (this.#pendingSubscriptions === 0) this.#earlyUpdates = [];
    };
  }

  /** Calls `reader` with each update of a subscription, until the returned function is called. */
  read(subscription: string, reader: (update: AnyMessage) => void): () => void {
    this.#readers.set(subscription, reader);
    const early = this.#earlyUpdates.filter((one) => one.subscription === subscription);
    this.#earlyUpdates = this.#earlyUpdates.filter((one) => one.subscription !== subscription);
    for (const { update } of early) reader(update);
    return () => this.#readers.delete(subscription);
  }
}
