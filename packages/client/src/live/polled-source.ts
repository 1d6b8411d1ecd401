import type { TaskKey } from '@ipyparallel-js/protocol';
import {
  allOf,
  columnsOf,
  conjunctsOf,
  type QueryNode,
  recordPredicate,
  TASK_COLUMNS,
} from '@ipyparallel-js/protocol/internal';
import { type Deadline, withChildSignal } from '@ipyparallel-js/wire';
import type { HubDatabase } from '../hub/hub-database.js';
import { neverMatches } from '../hub/query-planner.js';
import { byIds, keysOf, type RecordQuery, type Row, requestedColumns } from '../hub/record-query.js';
import type { RequestLane } from '../hub/request-lane.js';
import { SliceSize } from '../hub/stock/slice-size.js';
import { namedIds } from '../hub/stock/stock-records.js';
import { ChangeScan } from './change-scan.js';
import type { ChangeSignal, ChangeSignals } from './change-signals.js';
import type { FeedSink, FeedSource } from './feed-source.js';
import { type LiveChange, STATUS_COLUMNS } from './live-set.js';
import { RecheckSchedule } from './recheck-schedule.js';

/** The parts of a client that a polled source uses. */
export interface PolledContext {
  readonly database: HubDatabase;
  readonly signals: ChangeSignals;
  /** Shared by all polling of the client, so that the hub never has two of its requests at once. */
  readonly lane: RequestLane;
  newDeadline(signal: AbortSignal): Deadline;
}

/** How often a hub is polled, in ms. */
export interface PollIntervals {
  /** The minimum time between two requests. */
  readonly interval: number;
  /** The time between two scans for changes without a signal. */
  readonly slowInterval: number;
}

/** The number of records per request. It is limited, because a Python hub serves no other client while it replies. */
const SLICES = { initial: 50, min: 20, max: 900 };
/** At most 1/SCAN_SHARE of the elapsed time is spent on scans. */
const SCAN_SHARE = 10;
/** A signal of an unknown task brings the next scan forward to this long after the last one, in ms. */
const EARLY_SCAN_MS = 250;
const MAX_IGNORED_IDS = 20_000;
/** The longest delay of a timer in Node.js. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** Columns that never change after the submission. */
const IMMUTABLE_COLUMNS: ReadonlySet<TaskKey> = new Set<TaskKey>([
  ...(['msg_id', 'submitted', 'client_uuid', 'queue', 'header', 'metadata', 'content', 'label'] as const),
]);
const OUTPUT_COLUMNS: ReadonlySet<TaskKey> = new Set<TaskKey>([
  ...(['stdout', 'stderr', 'execute_input', 'execute_result', 'error', 'display_data'] as const),
]);

/** Feeds a live query by polling: tasks with a change signal are read at once, other changes are found by periodic scans. */
export class PolledSource implements FeedSource {
  readonly #context: PolledContext;
  readonly #query: RecordQuery;
  readonly #intervals: PollIntervals;
  #poller: Poller | undefined;

  constructor(context: PolledContext, query: RecordQuery, intervals: PollIntervals) {
    this.#context = context;
    this.#query = query;
    this.#intervals = intervals;
  }

  async run(sink: FeedSink, signal: AbortSignal): Promise<void> {
    this.#poller = new Poller(this.#context, this.#query, this.#intervals, sink, signal);
    await this.#poller.run();
  }

  refresh(): void {
    this.#poller?.scanSoon();
  }
}

/** Polls a hub for one live query. Its knowledge of the hub is valid for one connection. */
class Poller {
  readonly #context: PolledContext;
  readonly #query: RecordQuery;
  readonly #intervals: PollIntervals;
  readonly #sink: FeedSink;
  readonly #signal: AbortSignal;
  /** The columns to read of a matching record. */
  readonly #columns: readonly TaskKey[];
  /** The columns that decide whether a record matches. */
  readonly #testedColumns: readonly TaskKey[];
  readonly #matches: (row: Row) => boolean;
  readonly #canEverMatch: (row: Row) => boolean;
  /** The ids that the query names; undefined if it names none. */
  readonly #namedIds: ReadonlySet<string> | undefined;
  readonly #schedule: RecheckSchedule;
  readonly #changeScan: ChangeScan;
  readonly #sliceSize = new SliceSize(SLICES);
  /** Tasks that can never match. */
  readonly #ignoredIds = new Set<string>();
  #scanDueAt = 0;
  /** The delay of a requested early scan after the last scan, in ms; Infinity if none is requested. */
  #earlyScanDelay = Number.POSITIVE_INFINITY;
  #scannedAt = 0;
  #scanDuration = 0;
  #requestedAt = 0;
  #resolveWait: () => void = () => undefined;

  constructor(
    context: PolledContext,
    query: RecordQuery,
    intervals: PollIntervals,
    sink: FeedSink,
    signal: AbortSignal,
  ) {
    this.#context = context;
    this.#query = query;
    this.#intervals = intervals;
    this.#sink = sink;
    this.#signal = signal;
    const { node } = query;
    const tested = columnsOf(node);
    this.#testedColumns = [...new Set<TaskKey>(['msg_id', 'submitted', ...STATUS_COLUMNS, ...tested])];
    this.#columns = [...new Set<TaskKey>([...this.#testedColumns, ...requestedColumns(query)])];
    this.#matches = recordPredicate(node);
    const immutable = conjunctsOf(node).filter((part) =>
      [...columnsOf(part)].every((column) => IMMUTABLE_COLUMNS.has(column)),
    );
    this.#canEverMatch = recordPredicate(allOf(immutable));
    const named = namedIds(node);
    this.#namedIds = named === undefined ? undefined : new Set(named);
    this.#changeScan = new ChangeScan({
      ...{ database: context.database, namedIds: this.#namedIds },
      readsResubmitted: this.#columns.includes('resubmitted'),
      request: (send) => this.#request(send),
    });
    this.#schedule = new RecheckSchedule(this.#columns.some((column) => OUTPUT_COLUMNS.has(column)));
  }

  async run(): Promise<void> {
    const unlisten = this.#context.signals.listen((signal) => this.#onSignal(signal));
    const onAbort = (): void => this.#resolveWait();
    this.#signal.addEventListener('abort', onAbort, { once: true });
    try {
      await this.#readAll();
      while (!this.#signal.aborted) {
        await this.#waitUntilDue();
        if (this.#signal.aborted) return;
        await this.#sink.drained();
        if (performance.now() >= this.#nextScanAt || this.#sink.hasNewReaders) await this.#scan();
        else await this.#recheckDue();
      }
    } finally {
      this.#signal.removeEventListener('abort', onAbort);
      unlisten();
    }
  }

  /** Requests a scan as early as possible. */
  scanSoon(): void {
    this.#earlyScanDelay = 0;
    this.#resolveWait();
  }

  get #nextScanAt(): number {
    const early = this.#scannedAt + Math.max(this.#earlyScanDelay, SCAN_SHARE * this.#scanDuration);
    return Math.min(this.#scanDueAt, early);
  }

  #onSignal(signal: ChangeSignal): void {
    const now = performance.now();
    if (signal.kind === 'unspecified') {
      this.scanSoon();
      return;
    }
    const { msgId } = signal;
    if (this.#ignoredIds.has(msgId) || this.#namedIds?.has(msgId) === false) return;
    if (signal.kind === 'begun') this.#sink.apply([{ op: 'begun', msgId, begun: signal.at }]);
    // An unknown task means that another client submits; its other tasks give no signal before they begin.
    const unknown = signal.kind !== 'submitted' && !this.#isKnown(msgId) && !this.#schedule.has(msgId);
    if (this.#namedIds === undefined && unknown)
      this.#earlyScanDelay = Math.min(this.#earlyScanDelay, EARLY_SCAN_MS);
    if (this.#schedule.note(signal, now)) this.#resolveWait();
  }

  async #waitUntilDue(): Promise<void> {
    while (!this.#signal.aborted && !this.#sink.hasNewReaders) {
      const earliest = this.#requestedAt + this.#intervals.interval;
      const next = Math.max(Math.min(this.#nextScanAt, this.#schedule.next), earliest);
      const delay = next - performance.now();
      if (delay <= 0) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(delay, MAX_DELAY_MS));
        this.#resolveWait = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Reads all matches page by page, and then by id the records of the set that the pages did not contain. */
  async #readAll(): Promise<void> {
    const finish = this.#sink.startReading();
    if (neverMatches(this.#query.node)) {
      finish();
      this.#scanDueAt = Number.POSITIVE_INFINITY;
      return;
    }
    // The scan starts first, so that its next search finds what changes while the pages are read.
    await this.#changeScan.start();
    const found = await withChildSignal(this.#signal, (signal) => this.#readPages(signal));
    await this.#recheck([...this.#sink.set.ids].filter((msgId) => !found.has(msgId)));
    finish();
    this.#scheduleScan();
  }

  async #readPages(signal: AbortSignal): Promise<Set<string>> {
    const query =
      this.#query.keys === undefined ? this.#query : { ...this.#query, keys: keysOf(this.#columns) };
    const pages = this.#context.database.pages(query, () => this.#context.newDeadline(signal));
    const found = new Set<string>();
    for (;;) {
      const page = await this.#request(() => pages.next());
      if (page.done === true) return found;
      const rows = page.value as unknown as readonly Row[];
      for (const row of rows) found.add(row.msg_id);
      this.#sink.apply(rows.map((row) => this.#toSet(row)));
    }
  }

  async #recheckDue(): Promise<void> {
    await this.#recheck(this.#schedule.due(performance.now()));
  }

  /** Searches for changes without a signal: new, ended and purged records. Also reads some known records again. */
  async #scan(): Promise<void> {
    const finish = this.#sink.startReading();
    const since = performance.now();
    this.#earlyScanDelay = Number.POSITIVE_INFINITY;
    const suspects = await this.#changeScan.findSuspects(this.#sink.set, () => this.#recheckDue());
    for (const msgId of this.#ignoredIds) suspects.delete(msgId);
    await this.#recheck(suspects);
    await this.#recheckDue();
    finish();
    this.#scanDuration = performance.now() - since;
    this.#scheduleScan();
  }

  #scheduleScan(): void {
    const now = performance.now();
    this.#scannedAt = now;
    this.#scanDueAt = now + Math.max(this.#intervals.slowInterval, SCAN_SHARE * this.#scanDuration);
  }

  /** Reads records by id, a slice at a time, and applies their current state. */
  async #recheck(msgIds: Iterable<string>): Promise<void> {
    const ids = [...msgIds];
    for (let at = 0; at < ids.length; ) {
      const slice = ids.slice(at, at + this.#sliceSize.current);
      at += slice.length;
      const since = performance.now();
      await this.#recheckSlice(slice);
      this.#sliceSize.record(slice.length, performance.now() - since);
    }
  }

  async #recheckSlice(ids: readonly string[]): Promise<void> {
    const sentAt = performance.now();
    const { node } = this.#query;
    // Full records are large, so unknown tasks are first tested by the few columns that the query reads.
    const unknownIds = ids.filter((msgId) => this.#sink.set.get(msgId) === undefined);
    const testFirst = this.#query.keys === undefined && unknownIds.length > 0;
    const testedRows = testFirst
      ? await this.#readById(unknownIds, this.#testedColumns)
      : new Map<string, Row>();
    const idsToRead = testFirst
      ? ids.filter((msgId) => {
          const row = testedRows.get(msgId);
          return this.#sink.set.get(msgId) !== undefined || (row !== undefined && this.#matches(row));
        })
      : ids;
    const fullRows = idsToRead.length === 0 ? [] : await this.#readById(idsToRead, this.#columns);
    const rows = new Map([...testedRows, ...fullRows]);
    // Only the hub can distinguish null from an empty list of buffers, so it decides on queries of buffers.
    const matchingIds = [...columnsOf(node)].some((column) => TASK_COLUMNS[column] === 'buffers')
      ? await this.#matchingAmong(ids)
      : undefined;
    const now = performance.now();
    const changes: LiveChange[] = [];
    for (const msgId of ids) {
      const row = rows.get(msgId);
      if (row === undefined) {
        if (this.#isKnown(msgId)) {
          this.#schedule.forget(msgId);
          this.#changeScan.noteRemoval(msgId);
          changes.push({ op: 'gone', msgId });
        } else this.#schedule.resolve(msgId, undefined, sentAt, now);
        continue;
      }
      const matches = matchingIds === undefined ? this.#matches(row) : matchingIds.has(msgId);
      changes.push(matches ? this.#toSet(row) : { op: 'out', msgId, row });
      this.#changeScan.noteRow(row);
      if (!matches && row.submitted !== null && !this.#canEverMatch(row)) this.#ignore(msgId);
      else this.#schedule.resolve(msgId, row, sentAt, now);
    }
    this.#sink.apply(changes);
  }

  #readById(ids: readonly string[], columns: readonly TaskKey[]): Promise<Map<string, Row>> {
    return this.#request((deadline) => this.#context.database.byId(ids, columns, deadline));
  }

  async #matchingAmong(ids: readonly string[]): Promise<Set<string>> {
    const node: QueryNode = allOf([byIds(ids), this.#query.node]);
    const rows = await this.#request((deadline) =>
      this.#context.database.matches(node, ['msg_id'], deadline),
    );
    return new Set(rows.map(({ msg_id }) => msg_id));
  }

  async #request<T>(send: (deadline: Deadline) => Promise<T>): Promise<T> {
    return this.#context.lane.run(async () => {
      try {
        return await withChildSignal(this.#signal, (signal) => send(this.#context.newDeadline(signal)));
      } finally {
        this.#requestedAt = performance.now();
      }
    });
  }

  #toSet(row: Row): LiveChange {
    const begun = (row.completed ?? null) === null ? this.#context.signals.begunAt(row.msg_id) : undefined;
    return { op: 'set', row, begun };
  }

  #isKnown(msgId: string): boolean {
    return this.#sink.set.get(msgId) !== undefined || this.#changeScan.has(msgId);
  }

  #ignore(msgId: string): void {
    this.#schedule.forget(msgId);
    if (this.#ignoredIds.size < MAX_IGNORED_IDS) this.#ignoredIds.add(msgId);
  }
}
