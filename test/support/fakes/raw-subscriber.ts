// Follows one subscription of our hub by the messages alone, and keeps what matches as it learns of it.
import type { Dict, SubscriptionChange } from '@ipyparallel-js/protocol';
import type { RawClient } from './raw-client.js';

export interface SubscribeParts {
  readonly keys?: readonly string[] | null;
  readonly after?: { readonly epoch: string; readonly seq: number };
}

export class RawSubscriber {
  /** The subscribe_reply. */
  readonly reply: Dict;
  /** Every change that was told, in order. */
  readonly changes: SubscriptionChange[] = [];
  /** The matches: records by msg_id. */
  readonly records = new Map<string, Dict>();
  /** How many updates came. */
  updates = 0;
  resets = 0;
  /** Up to where everything is told. */
  seq: number;
  readonly #client: RawClient;
  #looked = 0;

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

  /** Takes what has come; acknowledges it unless told not to. */
  take({ acknowledge = true }: { acknowledge?: boolean } = {}): this {
    const { received } = this.#client;
    for (; this.#looked < received.length; this.#looked++) {
      const message = received[this.#looked]?.message;
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
