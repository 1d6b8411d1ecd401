import { isDone, type TaskKey } from '@ipyparallel-js/protocol';
import {
  allOf,
  columnsOf,
  conjunctsOf,
  parseQuery,
  type QueryNode,
  recordPredicate,
  TASK_COLUMNS,
} from '@ipyparallel-js/protocol/internal';
import type { Deadline } from '@ipyparallel-js/wire';
import { withChildSignal } from '@ipyparallel-js/wire';
import type { HubDatabase } from '../hub/hub-database.js';
import { neverMatches } from '../hub/query-planner.js';
import { byIds, type RecordQuery, type Row, requestedColumns } from '../hub/record-query.js';
import type { RequestLane } from '../hub/request-lane.js';
import { SliceSize } from '../hub/stock/slice-size.js';
import { namedIds } from '../hub/stock/stock-records.js';
import type { ChangeSignal, ChangeSignals } from './change-signals.js';
import type { FeedSink } from './live-feed.js';
import { type LiveChange, STATUS_COLUMNS } from './live-set.js';
import { RecheckSchedule } from './recheck-schedule.js';

/** What a feed that asks works with. */
export interface StockContext {
  readonly database: HubDatabase;
  readonly signals: ChangeSignals;
  /** Of all feeds of the client: never two questions at once. */
  readonly lane: RequestLane;
  newDeadline(signal: AbortSignal): Deadline;
}

/** How often a hub is asked. */
export interface StockIntervals {
  readonly interval: number;
  readonly slowInterval: number;
}

/** Records asked for at a time: the answer occupies a stock hub, which answers nobody else meanwhile. */
const SLICES = { initial: 50, min: 20, max: 900 };
/** So many records are read again in each slow round, in turn, for what no signal ever told of. */
const REREAD = 50;
/** Of the time, no more than a tenth goes into slow rounds. */
const SLOW_SHARE = 10;
/** An unknown task that is heard of brings the next slow round forward, to this long after the last, in ms. */
const HURRIED_MS = 250;
const MOST_IGNORED = 20_000;
const LONGEST_SLEEP = 2 ** 31 - 1;

const INCOMPLETE = parseQuery({ completed: null });
const RESUBMITTED = parseQuery({ resubmitted: { $ne: null } });
/** What of a record never changes once it was submitted. */
const FIXED: ReadonlySet<TaskKey> = new Set<TaskKey>([
  ...(['msg_id', 'submitted', 'client_uuid', 'queue', 'header', 'metadata', 'content', 'label'] as const),
]);
const OUTPUT: ReadonlySet<TaskKey> = new Set<TaskKey>([
  ...(['stdout', 'stderr', 'execute_input', 'execute_result', 'error', 'display_data'] as const),
]);

/** Asks a hub for what one live query is about. What it knows of the hub holds as long as the connection does. */
export class StockRun {
  readonly #context: StockContext;
  readonly #question: RecordQuery;
  readonly #intervals: StockIntervals;
  readonly #sink: FeedSink;
  readonly #signal: AbortSignal;
  readonly #columns: readonly TaskKey[];
  readonly #judged: readonly TaskKey[];
  readonly #matches: (row: Row) => boolean;
  readonly #mayEverMatch: (row: Row) => boolean;
  readonly #named: ReadonlySet<string> | undefined;
  readonly #signs: RecheckSchedule;
  readonly #pace = new SliceSize(SLICES);
  /** Ids that the hub's history had. */
  #seen: ReadonlySet<string> = new Set();
  /** Incomplete tasks and the engine that each has. */
  #open = new Map<string, string | null>();
  readonly #resubmitted = new Set<string>();
  /** Tasks that cannot match, whatever becomes of them. */
  readonly #ignored = new Set<string>();
  #reread = 0;
  #slowAt = 0;
  /** So long after the last slow round another is wanted, in ms. */
  #hurry = Number.POSITIVE_INFINITY;
  #lookedAt = 0;
  #lookTook = 0;
  #askedAt = 0;
  #wake: () => void = () => undefined;

  constructor(
    context: StockContext,
    question: RecordQuery,
    intervals: StockIntervals,
    sink: FeedSink,
    signal: AbortSignal,
  ) {
    this.#context = context;
    this.#question = question;
    this.#intervals = intervals;
    this.#sink = sink;
    this.#signal = signal;
    const { node } = question;
    const read = columnsOf(node);
    this.#judged = [...new Set<TaskKey>(['msg_id', 'submitted', ...STATUS_COLUMNS, ...read])];
    this.#columns = [...new Set<TaskKey>([...this.#judged, ...requestedColumns(question)])];
    this.#matches = recordPredicate(node);
    const fixed = conjunctsOf(node).filter((part) =>
      [...columnsOf(part)].every((column) => FIXED.has(column)),
    );
    this.#mayEverMatch = recordPredicate(allOf(fixed));
    const named = namedIds(node);
    this.#named = named === undefined ? undefined : new Set(named);
    this.#signs = new RecheckSchedule(this.#columns.some((column) => OUTPUT.has(column)));
  }

  async run(): Promise<void> {
    const unlisten = this.#context.signals.listen((signal) => this.#hear(signal));
    const onAbort = (): void => this.#wake();
    this.#signal.addEventListener('abort', onAbort, { once: true });
    try {
      await this.#readAll();
      while (!this.#signal.aborted) {
        await this.#untilDue();
        if (this.#signal.aborted) return;
        await this.#sink.taken();
        if (performance.now() >= this.#lookAt || this.#sink.awaited) await this.#look();
        else await this.#followSigns();
      }
    } finally {
      this.#signal.removeEventListener('abort', onAbort);
      unlisten();
    }
  }

  /** A slow round is wanted now. */
  lookSoon(): void {
    this.#hurry = 0;
    this.#wake();
  }

  /** When the next slow round is due. */
  get #lookAt(): number {
    const hurried = this.#lookedAt + Math.max(this.#hurry, SLOW_SHARE * this.#lookTook);
    return Math.min(this.#slowAt, hurried);
  }

  #hear(signal: ChangeSignal): void {
    const now = performance.now();
    if (signal.kind === 'unspecified') {
      this.lookSoon();
      return;
    }
    const { msgId } = signal;
    if (this.#ignored.has(msgId) || this.#named?.has(msgId) === false) return;
    if (signal.kind === 'begun') this.#sink.apply([{ op: 'begun', msgId, begun: signal.at }]);
    // Somebody submits: others of theirs may wait, of which nothing is heard before they begin.
    const stranger = signal.kind !== 'submitted' && !this.#knows(msgId) && !this.#signs.has(msgId);
    if (this.#named === undefined && stranger) this.#hurry = Math.min(this.#hurry, HURRIED_MS);
    if (this.#signs.note(signal, now)) this.#wake();
  }

  async #untilDue(): Promise<void> {
    while (!this.#signal.aborted && !this.#sink.awaited) {
      const soonest = this.#askedAt + this.#intervals.interval;
      const next = Math.max(Math.min(this.#lookAt, this.#signs.next), soonest);
      const left = next - performance.now();
      if (left <= 0) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(left, LONGEST_SLEEP));
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Everything, by the normal pages; what the set has and they have not is looked for by id. */
  async #readAll(): Promise<void> {
    const done = this.#sink.beginning();
    if (neverMatches(this.#question.node)) {
      done();
      this.#slowAt = Number.POSITIVE_INFINITY;
      return;
    }
    if (this.#named === undefined) {
      // Read first: what changes while the pages come is then found to have changed.
      this.#seen = new Set(await this.#ask((deadline) => this.#context.database.history(deadline)));
      this.#open = await this.#incomplete();
    }
    const found = await withChildSignal(this.#signal, (signal) => this.#readPages(signal));
    await this.#askFor([...this.#sink.set.ids].filter((msgId) => !found.has(msgId)));
    done();
    this.#plan();
  }

  async #readPages(signal: AbortSignal): Promise<Set<string>> {
    const { keys } = this.#question;
    const columns = this.#columns.map((column) => ({ name: column, column }));
    const question = keys === undefined ? this.#question : { ...this.#question, keys: columns };
    const pages = this.#context.database.pages(question, () => this.#context.newDeadline(signal));
    const found = new Set<string>();
    for (;;) {
      const page = await this.#ask(() => pages.next());
      if (page.done === true) return found;
      const rows = page.value as unknown as readonly Row[];
      for (const row of rows) found.add(row.msg_id);
      this.#sink.apply(rows.map((row) => this.#asSet(row)));
    }
  }

  /** Asks for the tasks that were heard of. */
  async #followSigns(): Promise<void> {
    await this.#askFor(this.#signs.due(performance.now()));
  }

  /** Looks for what gave no signal: new records, ended tasks, purged ones; a few of the others are read again. */
  async #look(): Promise<void> {
    const done = this.#sink.beginning();
    const since = performance.now();
    this.#hurry = Number.POSITIVE_INFINITY;
    const wanted = this.#named === undefined ? await this.#suspects() : this.#namedSuspects(this.#named);
    await this.#askFor(wanted);
    await this.#followSigns();
    done();
    this.#lookTook = performance.now() - since;
    this.#plan();
  }

  #plan(): void {
    const now = performance.now();
    this.#lookedAt = now;
    this.#slowAt = now + Math.max(this.#intervals.slowInterval, SLOW_SHARE * this.#lookTook);
  }

  async #suspects(): Promise<Set<string>> {
    const { set } = this.#sink;
    const history = await this.#ask((deadline) => this.#context.database.history(deadline));
    await this.#followSigns();
    const ids = new Set(history);
    const wanted = new Set(history.filter((msgId) => !this.#seen.has(msgId)));
    // What is known by its output alone is in no history.
    for (const msgId of set.ids) if (!ids.has(msgId)) wanted.add(msgId);
    if (this.#open.size > 0 || wanted.size > 0) {
      const open = await this.#incomplete();
      for (const [msgId, engine] of this.#open)
        if (open.get(msgId) !== engine && ids.has(msgId)) wanted.add(msgId);
      for (const [msgId, engine] of open) if (this.#open.get(msgId) !== engine) wanted.add(msgId);
      this.#open = open;
      await this.#followSigns();
    }
    if (this.#columns.includes('resubmitted')) {
      const rows = await this.#ask((deadline) =>
        this.#context.database.matches(RESUBMITTED, ['msg_id'], deadline),
      );
      for (const { msg_id } of rows) if (!this.#resubmitted.has(msg_id)) wanted.add(msg_id);
      for (const { msg_id } of rows) this.#resubmitted.add(msg_id);
    }
    this.#seen = ids;
    for (const msgId of this.#reReadNext(history)) wanted.add(msgId);
    for (const msgId of this.#ignored) wanted.delete(msgId);
    return wanted;
  }

  #namedSuspects(named: ReadonlySet<string>): Set<string> {
    const { set } = this.#sink;
    const wanted = new Set<string>();
    for (const msgId of named) {
      const row = set.get(msgId);
      if (row === undefined || !isDone(row.status)) wanted.add(msgId);
    }
    for (const msgId of this.#reReadNext([...named])) wanted.add(msgId);
    for (const msgId of this.#ignored) wanted.delete(msgId);
    return wanted;
  }

  #reReadNext(ids: readonly string[]): readonly string[] {
    if (this.#reread >= ids.length) this.#reread = 0;
    const next = ids.slice(this.#reread, this.#reread + REREAD);
    this.#reread += REREAD;
    return next;
  }

  async #incomplete(): Promise<Map<string, string | null>> {
    const rows = await this.#ask((deadline) =>
      this.#context.database.matches(INCOMPLETE, ['msg_id', 'engine_uuid'], deadline),
    );
    return new Map(rows.map(({ msg_id, engine_uuid }) => [msg_id, engine_uuid ?? null]));
  }

  /** Asks for records by id, a slice at a time, and takes what they are now. */
  async #askFor(wanted: Iterable<string>): Promise<void> {
    const ids = [...wanted];
    for (let at = 0; at < ids.length; ) {
      const slice = ids.slice(at, at + this.#pace.current);
      at += slice.length;
      const since = performance.now();
      await this.#askSlice(slice);
      this.#pace.record(slice.length, performance.now() - since);
    }
  }

  async #askSlice(ids: readonly string[]): Promise<void> {
    const asked = performance.now();
    const { node } = this.#question;
    // A whole record of a task that may not match is not worth its way.
    const strangers = ids.filter((msgId) => this.#sink.set.get(msgId) === undefined);
    const light = this.#question.keys === undefined && strangers.length > 0;
    const judged = light ? await this.#byId(strangers, this.#judged) : new Map<string, Row>();
    const whole = light
      ? ids.filter((msgId) => {
          const row = judged.get(msgId);
          return this.#sink.set.get(msgId) !== undefined || (row !== undefined && this.#matches(row));
        })
      : ids;
    const rows = new Map([...judged, ...(whole.length === 0 ? [] : await this.#byId(whole, this.#columns))]);
    // Only a hub tells no buffers from an empty list of them.
    const told = [...columnsOf(node)].some((column) => TASK_COLUMNS[column] === 'buffers')
      ? await this.#matching(ids)
      : undefined;
    const now = performance.now();
    const changes: LiveChange[] = [];
    for (const msgId of ids) {
      const row = rows.get(msgId);
      if (row === undefined) {
        const known = this.#knows(msgId);
        if (known) {
          this.#signs.forget(msgId);
          this.#open.delete(msgId);
          changes.push({ op: 'gone', msgId });
        } else this.#signs.resolve(msgId, undefined, asked, now);
        continue;
      }
      const matches = told === undefined ? this.#matches(row) : told.has(msgId);
      changes.push(matches ? this.#asSet(row) : { op: 'out', msgId, row });
      const isOpen = (row.completed ?? null) === null;
      if (this.#named === undefined) {
        if (isOpen) this.#open.set(msgId, row.engine_uuid ?? null);
        else this.#open.delete(msgId);
      }
      if (!matches && row.submitted !== null && !this.#mayEverMatch(row)) this.#ignore(msgId);
      else this.#signs.resolve(msgId, row, asked, now);
    }
    this.#sink.apply(changes);
  }

  #byId(ids: readonly string[], columns: readonly TaskKey[]): Promise<Map<string, Row>> {
    return this.#ask((deadline) => this.#context.database.byId(ids, columns, deadline));
  }

  async #matching(ids: readonly string[]): Promise<Set<string>> {
    const node: QueryNode = allOf([byIds(ids), this.#question.node]);
    const rows = await this.#ask((deadline) => this.#context.database.matches(node, ['msg_id'], deadline));
    return new Set(rows.map(({ msg_id }) => msg_id));
  }

  async #ask<T>(question: (deadline: Deadline) => Promise<T>): Promise<T> {
    return this.#context.lane.run(async () => {
      try {
        return await withChildSignal(this.#signal, (signal) => question(this.#context.newDeadline(signal)));
      } finally {
        this.#askedAt = performance.now();
      }
    });
  }

  #asSet(row: Row): LiveChange {
    const begun = (row.completed ?? null) === null ? this.#context.signals.begun(row.msg_id) : undefined;
    return { op: 'set', row, begun };
  }

  #knows(msgId: string): boolean {
    return this.#sink.set.get(msgId) !== undefined || this.#seen.has(msgId) || this.#open.has(msgId);
  }

  #ignore(msgId: string): void {
    this.#signs.forget(msgId);
    if (this.#ignored.size < MOST_IGNORED) this.#ignored.add(msgId);
  }
}
