import {
  type AnyMessage,
  isDone,
  type MessageContents,
  ProtocolError,
  parseWireDate,
  type TaskKey,
} from '@ipyparallel-js/protocol';
import { allOf, decodeRecord, isDict, toWireQuery } from '@ipyparallel-js/protocol/internal';
import { pause, withChildSignal } from '@ipyparallel-js/wire';
import type { HubDatabase } from '../hub/hub-database.js';
import type { HubReply, HubRequests, OkContent } from '../hub/hub-requests.js';
import { neverMatches } from '../hub/query-planner.js';
import { byIds, type RecordQuery, type Row, requestedColumns } from '../hub/record-query.js';
import { bufferReader } from '../hub/record-requests.js';
import type { FeedSink, FeedSource, Place } from './live-feed.js';
import { type LiveChange, STATUS_COLUMNS } from './live-set.js';
import type { UpdateInbox } from './update-inbox.js';

/** What a feed that is pushed works with. */
export interface PushedContext {
  readonly requests: HubRequests;
  readonly inbox: UpdateInbox;
  readonly database: HubDatabase;
}

/** A hub ends a subscription of which it has heard nothing for a while, a minute by default: it hears of it so often in that. */
const RENEWALS = 6;
const SILENCE_MS = 60_000;
/** A hub with much to do answers late how far it is; a link that is down is noticed by others. */
const SYNC_MS = 120_000;

/** Feeds a live query by what our hub pushes: it subscribes, takes a snapshot, and then each update as it comes. */
export class PushedSource implements FeedSource {
  readonly #context: PushedContext;
  readonly #question: RecordQuery;
  /** Up to here the set has everything; undefined before a snapshot was whole. */
  #place: Place | undefined;

  constructor(context: PushedContext, question: RecordQuery) {
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
  readonly #question: RecordQuery;
  readonly #sink: FeedSink;
  readonly #signal: AbortSignal;
  readonly #columns: readonly TaskKey[];
  /** Updates that are to be taken; the hub sends no more than two ahead of what is acknowledged. */
  readonly #updates: AnyMessage[] = [];
  /** Those of which nothing but their acknowledgement is left to do. */
  readonly #told = new WeakSet<AnyMessage>();
  #onUpdate: () => void = () => undefined;
  #subscription = '';
  #ended = false;
  /** Where everything was told up to; undefined while more is known to be on its way. */
  #base: number | undefined;
  place: Place | undefined;

  constructor(
    context: PushedContext,
    question: RecordQuery,
    sink: FeedSink,
    signal: AbortSignal,
    place: Place | undefined,
  ) {
    this.#context = context;
    this.#question = question;
    this.#sink = sink;
    this.#signal = signal;
    this.place = place;
    this.#columns = [...new Set<TaskKey>(['msg_id', ...requestedColumns(question), ...STATUS_COLUMNS])];
  }

  async run(): Promise<void> {
    const { requests, inbox } = this.#context;
    const { keys, node } = this.#question;
    const from = this.#sink.from;
    const after = this.place ?? (from && { epoch: from.epoch, seq: from.within?.upTo ?? from.seq });
    // What was interrupted within an update is no place to count on from.
    if (this.#sink.place?.within !== undefined) this.#sink.place = undefined;
    this.#base = this.#sink.place?.seq;
    const subscribed = inbox.expect();
    const { content, unread } = await requests
      .request(
        'subscribe_request',
        {
          query: toWireQuery(node),
          keys: keys === undefined ? null : this.#columns,
          resumable: true,
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
    const renewal = setInterval(() => this.#renew(), (content.silence ?? SILENCE_MS) / RENEWALS);
    renewal.unref();
    try {
      const { epoch, seq } = content;
      if (content.resumed && this.place !== undefined) {
        await this.#begin(epoch, this.#sink.beginning());
        // So that the hub knows that nothing is being read, and speaks of nothing that was never told of.
        if (this.#base !== undefined) this.#sync().catch(() => undefined);
      } else if (content.resumed && from !== undefined) await this.#resume(from);
      else {
        this.place = undefined;
        await this.#readAll({ epoch, seq });
      }
      await this.#follow(epoch);
    } finally {
      clearInterval(renewal);
      unread();
      // Where the link is down, the hub ends it by itself.
      requests.request('unsubscribe_request', { subscription: this.#subscription }).catch(() => undefined);
    }
  }

  /** Takes the updates one after the other, until the hub ends the subscription or, if that is given, up to a place. */
  async #follow(epoch: string, upTo = Number.POSITIVE_INFINITY): Promise<void> {
    for (let taken = 0; !this.#signal.aborted && !this.#ended; ) {
      if (taken > 0 && (this.place?.seq ?? 0) >= upTo) return;
      const update = this.#updates.shift();
      if (update === undefined) {
        await this.#untilUpdate();
        continue;
      }
      const { seq, ended, reset } = contentOf(update);
      if (ended !== undefined) {
        this.#ended = true;
        return;
      }
      if (reset === true) {
        this.#acknowledge(seq);
        await this.#readAll({ epoch, seq });
        taken++;
        continue;
      }
      taken++;
      const isSilent = upTo !== Number.POSITIVE_INFINITY;
      const base = this.#base;
      await this.#take(update, (at) =>
        isSilent || base === undefined || update.content['complete'] !== true
          ? undefined
          : { epoch, seq: at, within: { base, upTo: seq } },
      );
      this.place = { epoch, seq };
      this.#base = update.content['complete'] === true ? seq : undefined;
      if (!isSilent) this.#sink.place = this.#base === undefined ? undefined : this.place;
      await this.#sink.taken();
      this.#acknowledge(seq);
    }
  }

  /** Goes on from where another process was: finds out what that was told, and begins with what has changed since. */
  async #resume(from: Place): Promise<void> {
    const rows = new Map<string, { readonly row: Row; readonly begun: Date | undefined }>();
    await this.#eachPage((page) => {
      for (const row of page) rows.set(row.msg_id, { row, begun: undefined });
    });
    const upTo = from.within?.upTo ?? from.seq;
    const base = from.within?.base ?? from.seq;
    const { content } = await this.#sync({ base, seq: from.seq, upTo });
    if (content.changes == null) {
      await this.#readAll({ epoch: from.epoch, seq: upTo });
      return;
    }
    for (const [msgId, text] of Object.entries(content.begun ?? {})) {
      const known = rows.get(msgId);
      if (known !== undefined) rows.set(msgId, { ...known, begun: dateOf(text) });
    }
    const changes = changesOf(content.changes);
    for (const change of changes.slice(0, content.told)) {
      if (change.op === 'set') {
        const row = decodeRecord(change.record, this.#columns, {}) as Row;
        rows.set(row.msg_id, { row, begun: dateOf(change.begun) });
      } else rows.delete(change.msg_id);
    }
    this.#sink.set.seed(rows.values());
    this.#sink.place = from;
    this.#sink.seeded();
    await this.#tell(changes.slice(content.told), undefined, (seq) => ({
      ...{ epoch: from.epoch, seq, within: { base, upTo } },
    }));
    this.place = { epoch: from.epoch, seq: upTo };
    this.#sink.place = this.place;
    this.#base = upTo;
  }

  #sync(
    after?: MessageContents['subscription_sync_request']['after'],
  ): Promise<HubReply<OkContent<'subscription_sync_request'>>> {
    const content = { subscription: this.#subscription, ...(after === undefined ? {} : { after }) };
    return this.#context.requests.request('subscription_sync_request', content, {
      signal: this.#signal,
      timeout: SYNC_MS,
    });
  }

  /**
   * Takes a snapshot by the normal pages. What the set has, and they have not, is looked for by id. It is whole when
   * everything that the pages may have seen has been told, so that its place says what it has.
   */
  async #readAll(place: Place): Promise<void> {
    const done = this.#sink.beginning();
    this.#sink.place = undefined;
    const found = new Set<string>();
    await this.#eachPage((page) => {
      for (const row of page) found.add(row.msg_id);
      this.#sink.apply(page.map((row) => ({ op: 'set', row })));
    });
    await this.#lookFor([...this.#sink.set.ids].filter((msgId) => !found.has(msgId)));
    await this.#settle();
    this.place = place;
    await this.#begin(place.epoch, done);
  }

  /** Begins with what the set has, once it is known what place that is. */
  async #begin(epoch: string, done: () => void): Promise<void> {
    if (this.#sink.place === undefined) {
      const { content } = await this.#sync();
      await this.#follow(epoch, content.seq);
      if (this.#ended || this.#signal.aborted) return;
      this.#sink.place = this.#base === undefined ? undefined : this.place;
    }
    done();
  }

  async #eachPage(take: (page: readonly Row[]) => void): Promise<void> {
    const { keys } = this.#question;
    const columns = this.#columns.map((column) => ({ name: column, column }));
    const question = keys === undefined ? this.#question : { ...this.#question, keys: columns };
    await withChildSignal(this.#signal, async (signal) => {
      const newDeadline = () => this.#context.requests.deadline({ signal });
      for await (const rows of this.#context.database.pages(question, newDeadline))
        take(rows as unknown as readonly Row[]);
    });
  }

  // What was pushed while the pages were read may be older or newer than what they brought: it is read once more.
  async #settle(): Promise<void> {
    const held = this.#updates.filter((update) => contentOf(update).changes.length > 0);
    const ids = new Set(held.flatMap((update) => contentOf(update).changes.map(idOf)));
    if (ids.size === 0) return;
    const node = allOf([byIds([...ids]), this.#question.node]);
    const { database, requests } = this.#context;
    const rows = await withChildSignal(this.#signal, (signal) =>
      database.matches(node, this.#columns, requests.deadline({ signal })),
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

  /** Takes an update, change by change: each has its place. */
  async #take(update: AnyMessage, placeOf: (seq: number) => Place | undefined): Promise<void> {
    if (this.#told.has(update)) return;
    const { changes, buffer_lens, result_buffer_lens } = contentOf(update);
    await this.#tell(changes, bufferReader(buffer_lens, result_buffer_lens, update.buffers), placeOf);
  }

  async #tell(
    changes: readonly Change[],
    take: ReturnType<typeof bufferReader> | undefined,
    placeOf: (seq: number) => Place | undefined,
  ): Promise<void> {
    const { set } = this.#sink;
    const known = (change: Change): boolean => change.op === 'out' && set.get(change.msg_id) !== undefined;
    // What has left is told as it is now, which the hub does not push.
    const leaving = changes.filter(known).map(idOf);
    const left = new Map<string, LiveChange>();
    if (leaving.length > 0)
      for (const [i, change] of (await this.#leaving(leaving)).entries()) left.set(leaving[i] ?? '', change);
    let sets = 0;
    for (const change of changes) {
      const told = change.op === 'set' ? this.#setOf(change, take?.(sets++) ?? {}) : left.get(change.msg_id);
      this.#sink.place = change.seq === undefined ? undefined : placeOf(change.seq);
      if (change.op === 'gone') this.#sink.apply([{ op: 'gone', msgId: change.msg_id }]);
      else if (told !== undefined) this.#sink.apply([told]);
    }
  }

  #setOf(
    { record, begun }: Extract<Change, { op: 'set' }>,
    buffers: Parameters<typeof decodeRecord>[2],
  ): LiveChange | undefined {
    const row = decodeRecord(record, this.#columns, buffers) as Row;
    const known = this.#sink.set.get(row.msg_id);
    // A record that ended stays so: this one was written before the snapshot that said it.
    if (known !== undefined && isDone(known.status) && row.completed === null) return undefined;
    return { op: 'set', row, begun: dateOf(begun) };
  }

  async #lookFor(ids: readonly string[]): Promise<void> {
    if (ids.length > 0) this.#sink.apply(await this.#leaving(ids));
  }

  async #leaving(ids: readonly string[]): Promise<LiveChange[]> {
    const { database, requests } = this.#context;
    const rows = await withChildSignal(this.#signal, (signal) =>
      database.byId(ids, this.#columns, requests.deadline({ signal })),
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
    const { inbox, requests } = this.#context;
    inbox.acknowledge(this.#subscription, seq, (acks) => requests.notify('subscription_ack', { acks }));
  }

  #renew(): void {
    this.#context.requests.notify('subscription_renew', { subscription: this.#subscription });
  }
}

type UpdateContent = MessageContents['subscription_update'];
type Change = UpdateContent['changes'][number];

function contentOf(update: AnyMessage): UpdateContent {
  const content = update.content as unknown as UpdateContent;
  changesOf(content.changes);
  if (!Number.isSafeInteger(content.seq)) throw new ProtocolError('a subscription_update has no place');
  return content;
}

/** @throws ProtocolError where it is no list of changes */
function changesOf(value: unknown): readonly Change[] {
  const changes: readonly unknown[] = Array.isArray(value) ? value : [undefined];
  const valid = changes.every(
    (change) =>
      isDict(change) &&
      (change['op'] === 'set'
        ? isDict(change['record']) && typeof change['record']['msg_id'] === 'string'
        : typeof change['msg_id'] === 'string'),
  );
  if (!valid) throw new ProtocolError('what a hub pushed is no list of changes');
  return changes as readonly Change[];
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
