import type { Logger } from '@ipyparallel-js/wire';
import type { Collection } from 'mongodb';
import type { TaskDocument } from './document.js';
import { type Driver, isOutage } from './driver.js';
import type { PreparedWrite } from './prepare-write.js';
import type { ServerTraits } from './server-traits.js';

/** A write that the server did not do, and its reason. */
export interface Failure {
  readonly write: PreparedWrite;
  readonly code: number | undefined;
  readonly why: string;
}

export interface WriteSenderOptions {
  readonly driver: Driver;
  readonly records: Collection<TaskDocument>;
  readonly traits: ServerTraits;
  readonly log: Logger;
}

/** Failures of one write without a word of the server, until it is the write's own fault. */
const MAX_UNCLEAR = 5;

/** Sends writes in as few commands as the server takes. */
export class WriteSender {
  readonly #options: WriteSenderOptions;
  readonly #failures = new WeakMap<PreparedWrite, number>();

  constructor(options: WriteSenderOptions) {
    this.#options = options;
  }

  /** Sends all, tells of each that is done, and gives those that were refused. @throws the outage that prevents it */
  async send(
    writes: readonly PreparedWrite[],
    onDone: (write: PreparedWrite) => void,
  ): Promise<readonly Failure[]> {
    const failed: Failure[] = [];
    for (const command of this.#commands(writes)) {
      const failures = await this.#sendCommand(command);
      const refused = new Set(failures.map(({ write }) => write));
      for (const write of command) if (!refused.has(write)) onDone(write);
      failed.push(...failures);
    }
    return failed;
  }

  *#commands(writes: readonly PreparedWrite[]): Generator<readonly PreparedWrite[]> {
    const inserts = writes.filter(({ operation }) => 'insertOne' in operation);
    const updates = writes.filter(({ operation }) => !('insertOne' in operation));
    if (inserts.length > 0) yield inserts;
    const { updatesAtOnce } = this.#options.traits;
    for (let at = 0; at < updates.length; at += updatesAtOnce) yield updates.slice(at, at + updatesAtOnce);
  }

  async #sendCommand(writes: readonly PreparedWrite[]): Promise<readonly Failure[]> {
    const { driver, records, log } = this.#options;
    try {
      await records.bulkWrite(
        writes.map(({ operation }) => operation),
        { ordered: false },
      );
      return [];
    } catch (error) {
      if (isOutage(driver, error)) throw error;
      const errors = error instanceof driver.MongoBulkWriteError ? [error.writeErrors].flat() : [];
      if (errors.length > 0) {
        return errors.flatMap(({ index, code, errmsg }) => {
          const write = writes[index];
          return write === undefined ? [] : [{ write, code, why: errmsg ?? String(code) }];
        });
      }
      if (await this.#mayBeOutage(writes, error)) {
        throw new driver.MongoNetworkError(
          error instanceof Error ? error.message : String(error),
          error instanceof Error ? { cause: error } : {},
        );
      }
      if (error instanceof driver.MongoBulkWriteError && error.result.getWriteConcernError() !== undefined) {
        log.warn('writes were done, but not confirmed as wanted', error);
        return [];
      }
      return await this.#refused(writes, error);
    }
  }

  /** The command as a whole was refused: one bad task must not take the others with it. */
  async #refused(writes: readonly PreparedWrite[], error: unknown): Promise<readonly Failure[]> {
    const [only, ...others] = writes;
    if (only !== undefined && others.length === 0)
      return [{ write: only, code: undefined, why: error instanceof Error ? error.message : String(error) }];
    const failed: Failure[] = [];
    for (const write of writes) failed.push(...(await this.#sendCommand([write])));
    return failed;
  }

  /**
   * The driver makes broken connections and values that it cannot write into the same error of a bulk write, without a
   * code. It counts as the former until it has come back often enough from a server that answers.
   */
  async #mayBeOutage(writes: readonly PreparedWrite[], error: unknown): Promise<boolean> {
    const { driver, records } = this.#options;
    if (!(error instanceof driver.MongoBulkWriteError) || typeof error.code === 'number') return false;
    if (error.result.getWriteConcernError() !== undefined) return false;
    const [first] = writes;
    if (first === undefined) return false;
    const times = (this.#failures.get(first) ?? 0) + 1;
    this.#failures.set(first, times);
    if (times < MAX_UNCLEAR) return true;
    try {
      await records.findOne({}, { projection: { _id: 1 } });
      return false;
    } catch {
      return true;
    }
  }
}
