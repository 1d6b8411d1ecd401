import { UsageError } from '@ipyparallel-js/protocol';
import type { Logger } from '@ipyparallel-js/wire';
import type { Connection } from './driver.js';
import { type Layout, millisecondOf } from './layout.js';
import type { TaskWriter } from './task-writer.js';

/** What is kept; all of it by default. A task whose result this controller still waits for always is. */
export interface RetentionOptions {
  /** How long after its submission a task is kept, in ms. */
  readonly maxAge?: number;
  /** Records kept. */
  readonly recordLimit?: number;
  /** Bytes that the records may take in the file. */
  readonly sizeLimit?: number;
  /** How much of a limit is freed when it is exceeded; 0.1 by default. */
  readonly cullFraction?: number;
}

/** @throws UsageError naming the limit that cannot be */
export function checkRetention(options: RetentionOptions): void {
  for (const name of ['maxAge', 'recordLimit', 'sizeLimit', 'cullFraction'] as const) {
    const value = options[name];
    const most = name === 'cullFraction' ? 1 : Number.POSITIVE_INFINITY;
    if (value !== undefined && !(value > 0 && value <= most))
      throw new UsageError(
        `${name} must be a number above 0${most === 1 ? ', at most 1' : ''}, not ${value}`,
      );
  }
}

/** How often the limits are looked at, in ms. */
const PERIOD = 5000;
/** Rows removed, and pages given back, in one transaction. */
const ROWS = 200;
const PAGES = 256;

const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Removes what is older or more than is to be kept, the oldest first, and gives the space back. */
export class Retention {
  readonly #options: RetentionOptions;
  readonly #connection: Connection;
  readonly #layout: Layout;
  readonly #writer: TaskWriter;
  readonly #log: Logger;
  readonly #opened = new Date().toISOString().slice(0, 23);
  readonly #timer: NodeJS.Timeout | undefined;
  #culled: string[] = [];
  #working: Promise<void> | undefined;
  #stopped = false;

  constructor(
    options: RetentionOptions,
    connection: Connection,
    layout: Layout,
    writer: TaskWriter,
    log: Logger,
  ) {
    this.#options = options;
    this.#connection = connection;
    this.#layout = layout;
    this.#writer = writer;
    this.#log = log;
    const { maxAge, recordLimit, sizeLimit } = options;
    if (maxAge === undefined && recordLimit === undefined && sizeLimit === undefined) return;
    void this.cull();
    this.#timer = setInterval(() => void this.cull(), PERIOD);
    this.#timer.unref();
  }

  /** The tasks removed since the last call. */
  takeCulled(): string[] {
    const culled = this.#culled;
    this.#culled = [];
    return culled;
  }

  /** Resolves when nothing of it uses the file any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#working;
  }

  /** Removes what is too old or too much now. */
  cull(): Promise<void> {
    this.#working ??= this.#cull()
      .catch((error: unknown) => this.#log.warn('old tasks could not be removed', error))
      .finally(() => {
        this.#working = undefined;
      });
    return this.#working;
  }

  /** Returns unused pages to the file system, where the file was made for it; other files use them again. */
  async giveBack(): Promise<void> {
    if (this.#pragma('auto_vacuum') !== 2) return;
    // A few are left for what comes next.
    while (!this.#stopped && this.#pragma('freelist_count') > PAGES) {
      this.#connection.prepare(`PRAGMA incremental_vacuum(${PAGES})`).all();
      await pause();
    }
  }

  async #cull(): Promise<void> {
    const { maxAge, recordLimit, sizeLimit, cullFraction = 0.1 } = this.#options;
    const before = this.#culled.length;
    if (maxAge !== undefined) {
      const bound = new Date(Date.now() - maxAge).toISOString().slice(0, 23);
      while (this.#removeOldest(ROWS, bound) === ROWS && !this.#stopped) await pause();
    }
    if (recordLimit !== undefined) {
      const count = this.#count();
      let surplus = count > recordLimit ? count - Math.floor(recordLimit * (1 - cullFraction)) : 0;
      while (surplus > 0 && !this.#stopped) {
        const removed = this.#removeOldest(Math.min(surplus, ROWS));
        if (removed === 0) break;
        surplus -= removed;
        await pause();
      }
    }
    if (sizeLimit !== undefined && this.#bytes() > sizeLimit) {
      let count = this.#count();
      while (!this.#stopped) {
        const bytes = this.#bytes();
        const surplus = bytes - sizeLimit * (1 - cullFraction);
        if (surplus <= 0) break;
        // Half of what would do if all were of one size: the oldest may be the largest.
        const rows = Math.max(1, Math.min(ROWS, Math.floor((count * surplus) / bytes / 2)));
        const removed = this.#removeOldest(rows);
        if (removed === 0) break;
        count -= removed;
        await pause();
      }
    }
    if (this.#culled.length === before) return;
    const count = this.#culled.length - before;
    await this.giveBack();
    this.#log.info(`${count} old tasks were removed`);
  }

  // A task without a result that an earlier run submitted will never have one; one of this run may.
  #removeOldest(count: number, before?: string): number {
    const submitted = millisecondOf('t.submitted');
    const condition = {
      sql: `(t.completed IS NOT NULL OR ${submitted} IS NULL OR ${submitted} < ?)`,
      params: [this.#opened],
    };
    const rowids = this.#connection
      .prepare(
        `SELECT t.rowid FROM ${this.#layout.table} t WHERE ${condition.sql}
          ${before === undefined ? '' : `AND ${submitted} < ?`} ORDER BY ${submitted}, t.msg_id LIMIT ${count}`,
      )
      .pluck()
      .all(...condition.params, ...(before === undefined ? [] : [before])) as number[];
    if (rowids.length === 0) return 0;
    const removed = this.#writer.remove('rowid', rowids, condition);
    for (const { msgId } of removed) this.#culled.push(msgId);
    return removed.length;
  }

  #count(): number {
    return Number(this.#connection.prepare(`SELECT count(*) FROM ${this.#layout.table}`).pluck().all()[0]);
  }

  #bytes(): number {
    return (this.#pragma('page_count') - this.#pragma('freelist_count')) * this.#pragma('page_size');
  }

  #pragma(name: 'auto_vacuum' | 'freelist_count' | 'page_count' | 'page_size'): number {
    return Number(this.#connection.prepare(`PRAGMA ${name}`).pluck().all()[0]);
  }
}
