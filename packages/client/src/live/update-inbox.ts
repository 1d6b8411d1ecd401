import { type AnyMessage, isMessageOf } from '@ipyparallel-js/protocol';

/** Updates that came before it was known whose they are. */
const MOST_EARLY = 32;

/** Hands updates that a hub pushes to those who subscribed. */
export class UpdateInbox {
  readonly #readers = new Map<string, (update: AnyMessage) => void>();
  // The first update may be read in one go with the reply that names the subscription.
  #expected = 0;
  #acks: [string, number][] = [];
  #early: { readonly subscription: string; readonly update: AnyMessage }[] = [];

  /** Takes a message of the query socket; false when it is no update. */
  take(message: AnyMessage): boolean {
    if (!isMessageOf(message, 'subscription_update')) return false;
    const { subscription } = message.content;
    const reader = this.#readers.get(subscription);
    if (reader !== undefined) reader(message);
    else if (this.#expected > 0)
      this.#early = [...this.#early, { subscription, update: message }].slice(-MOST_EARLY);
    return true;
  }

  /** Acknowledges an update; those that come together go out together, by `send`. */
  acknowledge(
    subscription: string,
    seq: number,
    send: (acks: readonly (readonly [string, number])[]) => void,
  ): void {
    this.#acks.push([subscription, seq]);
    if (this.#acks.length > 1) return;
    setImmediate(() => send(this.#acks.splice(0)));
  }

  /** Somebody is subscribing, until the returned function is called. */
  expect(): () => void {
    this.#expected++;
    return () => {
      this.#expected--;
      if (this.#expected === 0) this.#early = [];
    };
  }

  /** Reads the updates of a subscription until the returned function is called. */
  read(subscription: string, reader: (update: AnyMessage) => void): () => void {
    this.#readers.set(subscription, reader);
    const early = this.#early.filter((one) => one.subscription === subscription);
    this.#early = this.#early.filter((one) => one.subscription !== subscription);
    for (const { update } of early) reader(update);
    return () => this.#readers.delete(subscription);
  }
}
