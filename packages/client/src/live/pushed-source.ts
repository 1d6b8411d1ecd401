import { type AnyMessage, isDone, type MessageContents, type TaskKey } from '@ipyparallel-js/protocol';
import { allOf, decodeRecord, toWireQuery } from '@ipyparallel-js/protocol/internal';
import { pause, withChildSignal } from '@ipyparallel-js/wire';
import type { HubDatabase } from '../hub/hub-database.js';
import type { HubReply, HubRequests, OkContent } from '../hub/hub-requests.js';
import { neverMatches } from '../hub/query-planner.js';
import { byIds, keysOf, type RecordQuery, type Row, requestedColumns } from '../hub/record-query.js';
import { bufferReader } from '../hub/record-requests.js';
import type { FeedSink, FeedSource } from './feed-source.js';
import { type LiveChange, STATUS_COLUMNS } from './live-set.js';
import type { HubPosition } from './sequence.js';
import { begunOf, type Change, changesOf, contentOf, dateOf, idOf } from './update-content.js';
import type { UpdateInbox } from './update-inbox.js';

/** The parts of a client that a pushed source uses. */
export interface PushedContext {
  readonly requests: HubRequests;
  readonly inbox: UpdateInbox;
  readonly database: HubDatabase;
}

/** How often the client renews a subscription within the time after which a hub ends it ({@link SILENCE_MS} by default). */
const RENEWALS_PER_SILENCE = 6;
const SILENCE_MS = 60_000;
/** The timeout of a sync request: a busy hub replies late, and a broken connection is detected elsewhere. */
const SYNC_TIMEOUT_MS = 120_000;

/** Feeds a live query by a subscription at the hub: a snapshot first, and then every update that the hub pushes. */
export class PushedSource implements FeedSource {
  readonly #context: PushedContext;
  readonly #query: RecordQuery;
  /** The hub position up to which the set is complete; undefined before the first complete snapshot. */
  #position: HubPosition | undefined;

  constructor(context: PushedContext, query: RecordQuery) {
    this.#context = context;
    this.#query = query;
  }

  async run(sink: FeedSink, signal: AbortSignal): Promise<void> {
    if (neverMatches(this.#query.node)) {
      sink.startReading()();
      await pause(Number.POSITIVE_INFINITY, signal);
      return;
    }
    // A hub ends a subscription that was not renewed, or that has too many changes; then the client subscribes again.
    while (!signal.aborted) {
      const subscription = new Subscription(this.#context, this.#query, sink, signal, this.#position);
      try {
        await subscription.run();
      } finally {
        this.#position = subscription.position;
      }
    }
  }

  // A subscription is always up to date.
  refresh(): void {}
}

/** One subscription, from the request to its end. */
class Subscription {
  readonly #context: PushedContext;
  readonly #query: RecordQuery;
  readonly #sink: FeedSink;
  readonly #signal: AbortSignal;
  readonly #columns: readonly TaskKey[];
  /** Received updates that are not processed yet; the hub sends at most two before it waits for acknowledgements. */
  readonly #updates: AnyMessage[] = [];
  /** Updates whose changes are already applied, and that need only an acknowledgement. */
  readonly #appliedUpdates = new WeakSet<AnyMessage>();
  #onUpdate: () => void = () => undefined;
  #id = '';
  #hasEnded = false;
  /** The position up to which all changes are applied; undefined while more updates for that position are expected. */
  #basePosition: number | undefined;
  position: HubPosition | undefined;

  constructor(
    context: PushedContext,
    query: RecordQuery,
    sink: FeedSink,
    signal: AbortSignal,
    position: HubPosition | undefined,
  ) {
    this.#context = context;
    this.#query = query;
    this.#sink = sink;
    this.#signal = signal;
    this.position = position;
    this.#columns = [...new Set<TaskKey>(['msg_id', ...requestedColumns(query), ...STATUS_COLUMNS])];
  }

  async run(): Promise<void> {
    const { requests, inbox } = this.#context;
    const { keys, node } = this.#query;
    const resumePosition = this.#sink.resumePosition;
    const after =
      this.position ??
      (resumePosition && {
        epoch: resumePosition.epoch,
        seq: resumePosition.within?.upTo ?? resumePosition.seq,
      });
    // A position within an interrupted update cannot be the base of further positions.
    if (this.#sink.position?.within !== undefined) this.#sink.position = undefined;
    this.#basePosition = this.#sink.position?.seq;
    const stopExpecting = inbox.expectSubscription();
    const { content, stopReading } = await requests
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
        stopReading: inbox.read(reply.content.subscription, (update) => {
          this.#updates.push(update);
          this.#onUpdate();
        }),
      }))
      .finally(stopExpecting);
    this.#id = content.subscription;
    const renewal = setInterval(() => this.#renew(), (content.silence ?? SILENCE_MS) / RENEWALS_PER_SILENCE);
    renewal.unref();
    try {
      const { epoch, seq } = content;
      if (content.resumed && this.position !== undefined) {
        await this.#finishReading(epoch, this.#sink.startReading());
        // The hub then knows that no reading is under way, and omits changes of records that it never reported.
        if (this.#basePosition !== undefined) this.#sync().catch(() => undefined);
      } else if (content.resumed && resumePosition !== undefined) await this.#resume(resumePosition);
      else {
        this.position = undefined;
        await this.#readAll({ epoch, seq });
      }
      await this.#processUpdates(epoch);
    } finally {
      clearInterval(renewal);
      stopReading();
      // Without a connection the request fails, and the hub ends the subscription by itself.
      requests.request('unsubscribe_request', { subscription: this.#id }).catch(() => undefined);
    }
  }

  /** Processes updates until the hub ends the subscription, or up to a position, without reporting positions. */
  async #processUpdates(epoch: string, upTo = Number.POSITIVE_INFINITY): Promise<void> {
    for (let processed = 0; !this.#signal.aborted && !this.#hasEnded; ) {
      if (processed > 0 && (this.position?.seq ?? 0) >= upTo) return;
      const update = this.#updates.shift();
      if (update === undefined) {
        await this.#waitForUpdate();
        continue;
      }
      const { seq, ended, reset } = contentOf(update);
      if (ended !== undefined) {
        this.#hasEnded = true;
        return;
      }
      if (reset === true) {
        this.#acknowledge(seq);
        await this.#readAll({ epoch, seq });
        processed++;
        continue;
      }
      processed++;
      const hidesPositions = upTo !== Number.POSITIVE_INFINITY;
      const base = this.#basePosition;
      await this.#applyUpdate(update, (at) =>
        hidesPositions || base === undefined || update.content['complete'] !== true
          ? undefined
          : { epoch, seq: at, within: { base, upTo: seq } },
      );
      this.position = { epoch, seq };
      this.#basePosition = update.content['complete'] === true ? seq : undefined;
      if (!hidesPositions) this.#sink.position = this.#basePosition === undefined ? undefined : this.position;
      await this.#sink.drained();
      this.#acknowledge(seq);
    }
  }

  /** Resumes where another process left off: restores the state that it had received, and applies the changes since. */
  async #resume(from: HubPosition): Promise<void> {
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
    this.#sink.position = from;
    this.#sink.markSeeded();
    await this.#applyChanges(changes.slice(content.told), undefined, (seq) => ({
      ...{ epoch: from.epoch, seq, within: { base, upTo } },
    }));
    this.position = { epoch: from.epoch, seq: upTo };
    this.#sink.position = this.position;
    this.#basePosition = upTo;
  }

  #sync(
    after?: MessageContents['subscription_sync_request']['after'],
  ): Promise<HubReply<OkContent<'subscription_sync_request'>>> {
    const content = { subscription: this.#id, ...(after === undefined ? {} : { after }) };
    return this.#context.requests.request('subscription_sync_request', content, {
      signal: this.#signal,
      timeout: SYNC_TIMEOUT_MS,
    });
  }

  /**
   * Reads a snapshot page by page, and by id the records of the set that the pages did not contain. The snapshot is
   * complete when all changes are applied that the pages may contain, so that its position is exact.
   */
  async #readAll(position: HubPosition): Promise<void> {
    const finish = this.#sink.startReading();
    this.#sink.position = undefined;
    const found = new Set<string>();
    await this.#eachPage((page) => {
      for (const row of page) found.add(row.msg_id);
      this.#sink.apply(page.map((row) => ({ op: 'set', row })));
    });
    await this.#recheck([...this.#sink.set.ids].filter((msgId) => !found.has(msgId)));
    await this.#recheckUpdated();
    this.position = position;
    await this.#finishReading(position.epoch, finish);
  }

  /** Finishes a reading once the position of the set is known. */
  async #finishReading(epoch: string, finish: () => void): Promise<void> {
    if (this.#sink.position === undefined) {
      const { content } = await this.#sync();
      await this.#processUpdates(epoch, content.seq);
      if (this.#hasEnded || this.#signal.aborted) return;
      this.#sink.position = this.#basePosition === undefined ? undefined : this.position;
    }
    finish();
  }

  async #eachPage(onPage: (page: readonly Row[]) => void): Promise<void> {
    const query =
      this.#query.keys === undefined ? this.#query : { ...this.#query, keys: keysOf(this.#columns) };
    await withChildSignal(this.#signal, async (signal) => {
      const newDeadline = () => this.#context.requests.deadline({ signal });
      for await (const rows of this.#context.database.pages(query, newDeadline))
        onPage(rows as unknown as readonly Row[]);
    });
  }

  /** Reads again the records that the hub pushed while the pages were read: a page may be older or newer than an update. */
  async #recheckUpdated(): Promise<void> {
    const pendingUpdates = this.#updates.filter((update) => contentOf(update).changes.length > 0);
    const ids = new Set(pendingUpdates.flatMap((update) => contentOf(update).changes.map(idOf)));
    if (ids.size === 0) return;
    const node = allOf([byIds([...ids]), this.#query.node]);
    const { database, requests } = this.#context;
    const rows = await withChildSignal(this.#signal, (signal) =>
      database.matches(node, this.#columns, requests.deadline({ signal })),
    );
    this.#sink.apply(rows.map((row) => ({ op: 'set', row })));
    const matching = new Set(rows.map(({ msg_id }) => msg_id));
    await this.#recheck([...ids].filter((id) => !matching.has(id)));
    for (const update of pendingUpdates) {
      const { changes } = contentOf(update);
      const begun = changes.flatMap((change) => begunOf(change));
      this.#sink.apply(begun);
      this.#appliedUpdates.add(update);
    }
  }

  /** Applies the changes of an update one by one, because each has its own position. */
  async #applyUpdate(
    update: AnyMessage,
    positionOf: (seq: number) => HubPosition | undefined,
  ): Promise<void> {
    if (this.#appliedUpdates.has(update)) return;
    const { changes, buffer_lens, result_buffer_lens } = contentOf(update);
    await this.#applyChanges(
      changes,
      bufferReader(buffer_lens, result_buffer_lens, update.buffers),
      positionOf,
    );
  }

  async #applyChanges(
    changes: readonly Change[],
    readBuffers: ReturnType<typeof bufferReader> | undefined,
    positionOf: (seq: number) => HubPosition | undefined,
  ): Promise<void> {
    const { set } = this.#sink;
    // The hub does not push the record of a task that stopped matching, so the client reads it.
    const leavingIds = changes
      .filter((change) => change.op === 'out' && set.get(change.msg_id) !== undefined)
      .map(idOf);
    const leavingChanges = new Map<string, LiveChange>();
    if (leavingIds.length > 0)
      for (const [i, change] of (await this.#readNonMatching(leavingIds)).entries())
        leavingChanges.set(leavingIds[i] ?? '', change);
    let sets = 0;
    for (const change of changes) {
      const applied =
        change.op === 'set'
          ? this.#toSet(change, readBuffers?.(sets++) ?? {})
          : leavingChanges.get(change.msg_id);
      this.#sink.position = change.seq === undefined ? undefined : positionOf(change.seq);
      if (change.op === 'gone') this.#sink.apply([{ op: 'gone', msgId: change.msg_id }]);
      else if (applied !== undefined) this.#sink.apply([applied]);
    }
  }

  #toSet(
    { record, begun }: Extract<Change, { op: 'set' }>,
    buffers: Parameters<typeof decodeRecord>[2],
  ): LiveChange | undefined {
    const row = decodeRecord(record, this.#columns, buffers) as Row;
    const known = this.#sink.set.get(row.msg_id);
    // An ended task stays ended, so this update is older than the snapshot.
    if (known !== undefined && isDone(known.status) && row.completed === null) return undefined;
    return { op: 'set', row, begun: dateOf(begun) };
  }

  async #recheck(ids: readonly string[]): Promise<void> {
    if (ids.length > 0) this.#sink.apply(await this.#readNonMatching(ids));
  }

  async #readNonMatching(ids: readonly string[]): Promise<LiveChange[]> {
    const { database, requests } = this.#context;
    const rows = await withChildSignal(this.#signal, (signal) =>
      database.byId(ids, this.#columns, requests.deadline({ signal })),
    );
    return ids.map((msgId) => {
      const row = rows.get(msgId);
      return row === undefined ? { op: 'gone', msgId } : { op: 'out', msgId, row };
    });
  }

  #waitForUpdate(): Promise<void> {
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
    inbox.acknowledge(this.#id, seq, (acks) => requests.notify('subscription_ack', { acks }));
  }

  #renew(): void {
    this.#context.requests.notify('subscription_renew', { subscription: this.#id });
  }
}
