import type { Logger } from '@ipyparallel-js/wire';
import type { Collection } from 'mongodb';
import { messageOf } from '../../common/errors.js';
import { type Driver, isOutage } from './driver.js';
import type { PreparedWrite } from './prepare-write.js';
import type { ServerTraits } from './server-traits.js';
import type { TaskDocument } from './task-document.js';

/** A write that failed, and the reason. */
export interface Failure {
  readonly write: PreparedWrite;
  readonly code: number | undefined;
  readonly reason: string;
}

export interface WriteSenderOptions {
  readonly driver: Driver;
  readonly records: Collection<TaskDocument>;
  readonly traits: ServerTraits;
  readonly log: Logger;
}

/** Number of failures without a reply of the server after which the write itself counts as the cause. */
const MAX_AMBIGUOUS_FAILURES = 5;

/** Sends writes in as few commands as the server's limits permit. */
export class WriteSender {
  readonly #options: WriteSenderOptions;
  readonly #failures = new WeakMap<PreparedWrite, number>();

  constructor(options: WriteSenderOptions) {
    this.#options = options;
  }

  /**
   * Sends the writes and calls `onDone` for each one that succeeded.
   * @returns the writes that the server refused
   * @throws the error of an outage of the server
   */
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
    const { maxUpdates } = this.#options.traits;
    for (let at = 0; at < updates.length; at += maxUpdates) yield updates.slice(at, at + maxUpdates);
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
          return write === undefined ? [] : [{ write, code, reason: errmsg ?? String(code) }];
        });
      }
      if (await this.#mayBeOutage(writes, error)) {
        throw new driver.MongoNetworkError(messageOf(error), error instanceof Error ? { cause: error } : {});
      }
      if (error instanceof driver.MongoBulkWriteError && error.result.getWriteConcernError() !== undefined) {
        log.warn('writes were applied, but the write concern was not satisfied', error);
        return [];
      }
      return await this.#sendSeparately(writes, error);
    }
  }

  /** Sends the writes of a refused command one by one, so that one invalid task does not prevent the others. */
  async #sendSeparately(writes: readonly PreparedWrite[], error: unknown): Promise<readonly Failure[]> {
    const [only, ...others] = writes;
    if (only !== undefined && others.length === 0)
      return [{ write: only, code: undefined, reason: messageOf(error) }];
    const failed: Failure[] = [];
    for (const write of writes) failed.push(...(await this.#sendCommand([write])));
    return failed;
  }

  /**
   * Whether an error may be an outage. The driver reports a lost connection and a value that it cannot encode as the same
   * error without a code. The error counts as an outage until it has occurred MAX_AMBIGUOUS_FAILURES times and the server
   * replies.
   */
  async #mayBeOutage(writes: readonly PreparedWrite[], error: unknown): Promise<boolean> {
    const { driver, records } = this.#options;
    if (!(error instanceof driver.MongoBulkWriteError) || typeof error.code === 'number') return false;
    if (error.result.getWriteConcernError() !== undefined) return false;
    const [first] = writes;
    if (first === undefined) return false;
    const failureCount = (this.#failures.get(first) ?? 0) + 1;
    this.#failures.set(first, failureCount);
    if (failureCount < MAX_AMBIGUOUS_FAILURES) return true;
    try {
      await records.findOne({}, { projection: { _id: 1 } });
      return false;
    } catch {
      return true;
    }
  }
}
