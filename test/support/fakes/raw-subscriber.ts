// Follows one subscription of our hub by its messages, and holds the current matches.
import type { Dict, SubscriptionChange } from '@ipyparallel-js/protocol';
import type { RawClient } from './raw-client.js';

export interface SubscribeParts {
  readonly keys?: readonly string[] | null;
  readonly after?: { readonly epoch: string; readonly seq: number };
}

export class RawSubscriber {
  /** The subscribe_reply. */
  readonly reply: Dict;
  /** All received changes, in order. */
  readonly changes: SubscriptionChange[] = [];
  /** The matching records by msg_id. */
  readonly records = new Map<string, Dict>();
  /** The number of received updates. */
  updates = 0;
  resets = 0;
  /** The position up to which all changes have been received. */
  seq: number;
  readonly #client: RawClient;
  #position = 0;

  private constructor(client: RawClient, reply: Dict) {
    this.#client = client;
    this.reply = reply;
    this.seq = Number(reply['seq']);
  }

  static async start(client: RawClient, query: Dict, parts: SubscribeParts = {}): Promise<RawSubscriber> {
    const content = { query, keys: null, ...parts };
    const reply = (await client.submit('registration', 'subscribe_request', content).reply()).content;
    if (reply['status'] !== 'ok') throw new Error(`no subscription: ${JSON.stringify(reply)}`);
    return new RawSubscriber(client, reply);
  }

  get after(): { epoch: string; seq: number } {
    return { epoch: String(this.reply['epoch']), seq: this.seq };
  }

  /** Applies the updates received since the last call, and acknowledges them by default. */
  take({ acknowledge = true }: { acknowledge?: boolean } = {}): this {
    const { received } = this.#client;
    for (; this.#position < received.length; this.#position++) {
      const message = received[this.#position]?.message;
      const { subscription } = this.reply;
      if (message?.msg_type !== 'subscription_update') continue;
      if (message.content['subscription'] !== subscription) continue;
      this.#apply(message.content);
      const { seq } = this;
      if (acknowledge) this.#client.submit('registration', 'subscription_ack', { subscription, seq });
    }
    return this;
  }

  #apply(content: Dict): void {
    this.updates++;
    this.seq = Number(content['seq']);
    if (content['reset'] === true) this.resets++;
    for (const change of content['changes'] as SubscriptionChange[]) {
      this.changes.push(change);
      if (change.op === 'set') this.records.set(String(change.record['msg_id']), change.record);
      else this.records.delete(change.msg_id);
    }
  }
}
