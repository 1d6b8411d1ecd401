import { UsageError } from '@ipyparallel-js/protocol';
import type { Logger } from '@ipyparallel-js/wire';
import { nextTurn } from '../../common/event-loop.js';
import type { Connection } from './driver.js';
import { type Layout, millisecondSql } from './layout.js';
import type { TaskWriter } from './task-writer.js';

/** Limits of a store; none by default. A task that may still get a result from this controller is never removed. */
export interface RetentionOptions {
  /** Time after its submission at which a task is removed, in ms. */
  readonly maxAge?: number;
  /** Maximum number of records. */
  readonly recordLimit?: number;
  /** Maximum size of the records in the file, in bytes. */
  readonly sizeLimit?: number;
  /** Fraction of a limit that is freed when the limit is exceeded; 0.1 by default. */
  readonly cullFraction?: number;
}

/** @throws {UsageError} when a limit is not a valid number */
export function checkRetention(options: RetentionOptions): void {
  for (const name of ['maxAge', 'recordLimit', 'sizeLimit', 'cullFraction'] as const) {
    const value = options[name];
    const maximum = name === 'cullFraction' ? 1 : Number.POSITIVE_INFINITY;
    if (value !== undefined && !(value > 0 && value <= maximum))
      throw new UsageError(`${name} must be a number > 0${maximum === 1 ? ' and <= 1' : ''}, got ${value}`);
  }
}

/** Interval between two checks of the limits, in ms. */
const CHECK_INTERVAL = 5000;
/** Rows removed, and pages released, in one transaction. */
const MAX_ROWS = 200;
const MAX_PAGES = 256;

/** Removes the tasks that exceed the limits, the oldest first, and releases their space. */
export class Retention {
  readonly #options: RetentionOptions;
  readonly #connection: Connection;
  readonly #layout: Layout;
  readonly #writer: TaskWriter;
  readonly #log: Logger;
  readonly #openedAt = new Date().toISOString().slice(0, 23);
  readonly #timer: NodeJS.Timeout | undefined;
  #culledIds: string[] = [];
  #cullPromise: Promise<void> | undefined;
  #isStopped = false;

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
    this.#timer = setInterval(() => void this.cull(), CHECK_INTERVAL);
    this.#timer.unref();
  }

  /** Returns the ids of the tasks removed since the last call. */
  drainCulledIds(): string[] {
    const culledIds = this.#culledIds;
    this.#culledIds = [];
    return culledIds;
  }

  /** Stops the checks. Resolves when none of them uses the file any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#timer);
    await this.#cullPromise;
  }

  /** Checks the limits now and removes the tasks that exceed them. */
  cull(): Promise<void> {
    this.#cullPromise ??= this.#cull()
      .catch((error: unknown) => this.#log.warn('cannot remove the tasks that exceed the limits', error))
      .finally(() => {
        this.#cullPromise = undefined;
      });
    return this.#cullPromise;
  }

  /** Releases unused pages to the file system if the file was created for it; other files reuse these pages. */
  async releasePages(): Promise<void> {
    if (this.#readPragma('auto_vacuum') !== 2) return;
    // Leave some free pages for the next writes.
    while (!this.#isStopped && this.#readPragma('freelist_count') > MAX_PAGES) {
      this.#connection.prepare(`PRAGMA incremental_vacuum(${MAX_PAGES})`).all();
      await nextTurn();
    }
  }

  async #cull(): Promise<void> {
    const { maxAge, recordLimit, sizeLimit, cullFraction = 0.1 } = this.#options;
    const before = this.#culledIds.length;
    if (maxAge !== undefined) {
      const bound = new Date(Date.now() - maxAge).toISOString().slice(0, 23);
      while (this.#removeOldest(MAX_ROWS, bound) === MAX_ROWS && !this.#isStopped) await nextTurn();
    }
    if (recordLimit !== undefined) {
      const count = this.#countRecords();
      let surplus = count > recordLimit ? count - Math.floor(recordLimit * (1 - cullFraction)) : 0;
      while (surplus > 0 && !this.#isStopped) {
        const removed = this.#removeOldest(Math.min(surplus, MAX_ROWS));
        if (removed === 0) break;
        surplus -= removed;
        await nextTurn();
      }
    }
    if (sizeLimit !== undefined && this.#readUsedBytes() > sizeLimit) {
      let count = this.#countRecords();
      while (!this.#isStopped) {
        const bytes = this.#readUsedBytes();
        const surplus = bytes - sizeLimit * (1 - cullFraction);
        if (surplus <= 0) break;
        // Half of the rows that average-sized records would require, because the oldest records may be the largest.
        const rows = Math.max(1, Math.min(MAX_ROWS, Math.floor((count * surplus) / bytes / 2)));
        const removed = this.#removeOldest(rows);
        if (removed === 0) break;
        count -= removed;
        await nextTurn();
      }
    }
    if (this.#culledIds.length === before) return;
    const count = this.#culledIds.length - before;
    await this.releasePages();
    this.#log.info(`removed ${count} tasks, because a limit was exceeded`);
  }

  // An unfinished task of an earlier run never gets a result, so it may be removed; one of this run may still get one.
  #removeOldest(count: number, before?: string): number {
    const submitted = millisecondSql('t.submitted');
    const condition = {
      sql: `(t.completed IS NOT NULL OR ${submitted} IS NULL OR ${submitted} < ?)`,
      params: [this.#openedAt],
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
    for (const { msgId } of removed) this.#culledIds.push(msgId);
    return removed.length;
  }

  #countRecords(): number {
    return Number(this.#connection.prepare(`SELECT count(*) FROM ${this.#layout.table}`).pluck().all()[0]);
  }

  #readUsedBytes(): number {
    return (
      (this.#readPragma('page_count') - this.#readPragma('freelist_count')) * this.#readPragma('page_size')
    );
  }

  #readPragma(name: 'auto_vacuum' | 'freelist_count' | 'page_count' | 'page_size'): number {
    return Number(this.#connection.prepare(`PRAGMA ${name}`).pluck().all()[0]);
  }
}
