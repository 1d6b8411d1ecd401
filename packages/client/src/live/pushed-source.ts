import {
  type AnyMessage,
  isDone,
  type MessageContents,
  ProtocolError,
  parseWireDate,
  type TaskKey,
} from '@ipyparallel-js/protocol';
import { allOf, decodeRecord, isDict, toWireQuery } from '@ipyparallel-js/protocol/internal';
import { pause } from '@ipyparallel-js/wire';
import type { HubRequests } from '../hub-requests.js';
import type { HubDatabase } from '../query/hub-database.js';
import { neverMatches } from '../query/hub-plan.js';
import { byIds, columnsAsked, type Question, type Row } from '../query/question.js';
import { bufferReader } from '../query/record-requests.js';
import { briefly } from './briefly.js';
import type { FeedSink, FeedSource } from './live-feed.js';
import { type LiveChange, STATUS_COLUMNS } from './live-set.js';
import type { UpdateInbox } from './update-inbox.js';

/** What a feed that is pushed works with. */
export interface PushedContext {
  readonly requests: HubRequests;
  readonly inbox: UpdateInbox;
  database(): HubDatabase;
}

/** A place in what a hub has written, in one life of it. */
interface Place {
  readonly epoch: string;
  readonly seq: number;
}

/** A hub ends a subscription of which it has heard nothing for a minute. */
const RENEW_MS = 10_000;

/** Feeds a live query by what our hub pushes: it subscribes, takes a snapshot, and then each update as it comes. */
export class PushedSource implements FeedSource {
  readonly #context: PushedContext;
  readonly #question: Question;
  /** Up to here the set has everything; undefined before a snapshot was whole. */
  #place: Place | undefined;

  constructor(context: PushedContext, question: Question) {
    this.#context = context;
    this.#question = question;
  }

  async run(sink: FeedSink, signal: AbortSignal): Promise<void> {
    if (neverMatches(this.#question.node)) {
      sink.beginning()();
      await pause(Number.POSITIVE_INFINITY, signal);
      return;
    }
    // A hub that has not heard of us for long, or has too much to tell, ends a subscription; then there is another.
    while (!signal.aborted) {
      const run = new PushedRun(this.#context, this.#question, sink, signal, this.#place);
      try {
        await run.run();
      } finally {
        this.#place = run.place;
      }
    }
  }

  // A feed that is pushed is up to date by itself.
  wake(): void {}
}

/** One subscription, from its beginning to its end. */
class PushedRun {
  readonly #context: PushedContext;
  readonly #question: Question;
  readonly #sink: FeedSink;
  readonly #signal: AbortSignal;
  readonly #columns: readonly TaskKey[];
  /** Updates that are to be taken; the hub sends no more than two ahead of what is acknowledged. */
  readonly #updates: AnyMessage[] = [];
  /** Those of which nothing but their acknowledgement is left to do. */
  readonly #told = new WeakSet<AnyMessage>();
  #onUpdate: () => void = () => undefined;
  #subscription = '';
  place: Place | undefined;

  constructor(
    context: PushedContext,
    question: Question,
    sink: FeedSink,
    signal: AbortSignal,
    place: Place | undefined,
  ) {
    this.#context = context;
    this.#question = question;
    this.#sink = sink;
    this.#signal = signal;
    this.place = place;
    this.#columns = [...new Set<TaskKey>(['msg_id', ...columnsAsked(question), ...STATUS_COLUMNS])];
  }

  async run(): Promise<void> {
    const { requests, inbox } = this.#context;
    const { keys, node } = this.#question;
    const after = this.place;
    const subscribed = inbox.expect();
    const { content, unread } = await requests
      .request(
        'subscribe_request',
        {
          query: toWireQuery(node),
          keys: keys === undefined ? null : this.#columns,
          ...(after === undefined ? {} : { after }),
        },
        { signal: this.#signal },
      )
      .then((reply) => ({
        content: reply.content,
        unread: inbox.read(reply.content.subscription, (update) => {
          this.#updates.push(update);
          this.#onUpdate();
        }),
      }))
      .finally(subscribed);
    this.#subscription = content.subscription;
    const renewal = setInterval(() => this.#renew(), RENEW_MS);
    renewal.unref();
    try {
      if (content.resumed) this.#sink.beginning()();
      else {
        this.place = undefined;
        await this.#readAll({ epoch: content.epoch, seq: content.seq });
      }
      await this.#follow(content.epoch);
    } finally {
      clearInterval(renewal);
      unread();
      // Where the link is down, the hub ends it by itself.
      requests.request('unsubscribe_request', { subscription: this.#subscription }).catch(() => undefined);
    }
  }

  /** Takes the updates one after the other, until the hub ends the subscription. */
  async #follow(epoch: string): Promise<void> {
    while (!this.#signal.aborted) {
      const update = this.#updates.shift();
      if (update === undefined) {
        await this.#untilUpdate();
        continue;
      }
      const { seq, ended, reset } = contentOf(update);
      if (ended !== undefined) return;
      if (reset === true) await this.#readAll({ epoch, seq });
      else {
        this.#sink.apply(await this.#changesOf(update));
        this.place = { epoch, seq };
      }
      await this.#sink.taken();
      this.#acknowledge(seq);
    }
  }

  /** Takes a snapshot by the normal pages. What the set has, and they have not, is looked for by id. */
  async #readAll(place: Place): Promise<void> {
    const done = this.#sink.beginning();
    const { keys } = this.#question;
    const columns = this.#columns.map((column) => ({ name: column, column }));
    const question = keys === undefined ? this.#question : { ...this.#question, keys: columns };
    const found = new Set<string>();
    await briefly(this.#signal, async (signal) => {
      const newDeadline = () => this.#context.requests.deadline({ signal });
      for await (const rows of this.#context.database().pages(question, newDeadline)) {
        const page = rows as unknown as readonly Row[];
        for (const row of page) found.add(row.msg_id);
        this.#sink.apply(page.map((row) => ({ op: 'set', row })));
      }
    });
    await this.#lookFor([...this.#sink.set.ids].filter((msgId) => !found.has(msgId)));
    await this.#settle();
    this.place = place;
    done();
  }

  // What was pushed while the pages were read may be older or newer than what they brought: it is read once more.
  async #settle(): Promise<void> {
    const held = this.#updates.filter((update) => contentOf(update).changes.length > 0);
    const ids = new Set(held.flatMap((update) => contentOf(update).changes.map(idOf)));
    if (ids.size === 0) return;
    const node = allOf([byIds([...ids]), this.#question.node]);
    const { database, requests } = this.#context;
    const rows = await briefly(this.#signal, (signal) =>
      database().matches(node, this.#columns, requests.deadline({ signal })),
    );
    this.#sink.apply(rows.map((row) => ({ op: 'set', row })));
    const matching = new Set(rows.map(({ msg_id }) => msg_id));
    await this.#lookFor([...ids].filter((id) => !matching.has(id)));
    for (const update of held) {
      const { changes } = contentOf(update);
      const begun = changes.flatMap((change) => begunOf(change));
      this.#sink.apply(begun);
      this.#told.add(update);
    }
  }

  async #changesOf(update: AnyMessage): Promise<LiveChange[]> {
    if (this.#told.has(update)) return [];
    const { changes, buffer_lens, result_buffer_lens } = contentOf(update);
    const take = bufferReader(buffer_lens, result_buffer_lens, update.buffers);
    const { set } = this.#sink;
    let sets = 0;
    const read: LiveChange[] = [];
    const left = new Set<string>();
    for (const change of changes) {
      if (change.op === 'set') {
        const row = decodeRecord(change.record, this.#columns, take(sets++)) as Row;
        const known = set.get(row.msg_id);
        // A record that ended stays so: this one was written before the snapshot that said it.
        if (known !== undefined && isDone(known.status) && row.completed === null) continue;
        read.push({ op: 'set', row, begun: dateOf(change.begun) });
      } else if (change.op === 'gone') read.push({ op: 'gone', msgId: change.msg_id });
      else if (set.get(change.msg_id) !== undefined) left.add(change.msg_id);
    }
    // What has left is told as it is now, which the hub does not push.
    return left.size === 0 ? read : [...(await this.#leaving([...left])), ...read];
  }

  async #lookFor(ids: readonly string[]): Promise<void> {
    if (ids.length > 0) this.#sink.apply(await this.#leaving(ids));
  }

  async #leaving(ids: readonly string[]): Promise<LiveChange[]> {
    const { database, requests } = this.#context;
    const rows = await briefly(this.#signal, (signal) =>
      database().byId(ids, this.#columns, requests.deadline({ signal })),
    );
    return ids.map((msgId) => {
      const row = rows.get(msgId);
      return row === undefined ? { op: 'gone', msgId } : { op: 'out', msgId, row };
    });
  }

  #untilUpdate(): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        this.#signal.removeEventListener('abort', end);
        resolve();
      };
      this.#onUpdate = end;
      this.#signal.addEventListener('abort', end);
      if (this.#signal.aborted || this.#updates.length > 0) end();
    });
  }

  #acknowledge(seq: number): void {
    if (this.#signal.aborted) return;
    this.#context.requests.tell('subscription_ack', { subscription: this.#subscription, seq });
  }

  #renew(): void {
    this.#context.requests.tell('subscription_renew', { subscription: this.#subscription });
  }
}

type UpdateContent = MessageContents['subscription_update'];
type Change = UpdateContent['changes'][number];

function contentOf(update: AnyMessage): UpdateContent {
  const content = update.content as unknown as UpdateContent;
  const changes: readonly unknown[] = Array.isArray(content.changes) ? content.changes : [undefined];
  const valid = changes.every(
    (change) =>
      isDict(change) &&
      (change['op'] === 'set'
        ? isDict(change['record']) && typeof change['record']['msg_id'] === 'string'
        : typeof change['msg_id'] === 'string'),
  );
  if (!valid || !Number.isSafeInteger(content.seq))
    throw new ProtocolError('a subscription_update holds no list of changes');
  return content;
}

function idOf(change: Change): string {
  return change.op === 'set' ? String(change.record['msg_id']) : change.msg_id;
}

function begunOf(change: Change): LiveChange[] {
  const begun = change.op === 'set' ? dateOf(change.begun) : undefined;
  return begun === undefined ? [] : [{ op: 'begun', msgId: idOf(change), begun }];
}

function dateOf(text: unknown): Date | undefined {
  return typeof text === 'string' ? parseWireDate(text)?.date : undefined;
}
