import type { TaskKey } from '@ipyparallel-js/protocol';
import type { QueryNode } from '@ipyparallel-js/protocol/internal';
import type { Logger } from '@ipyparallel-js/wire';
import { ReportedError } from '../../common/errors.js';
import type {
  FindOptions,
  FoundTask,
  RemovalResult,
  Selection,
  TaskChange,
  TaskDatabase,
  WriteOutcome,
} from '../task-database.js';
import { ArrivalIds } from './arrival-ids.js';
import { isOutage } from './driver.js';
import { connect, createOpenError, type MongoConnection } from './mongo-connection.js';
import {
  type MongoDatabaseOptions,
  type ResolvedMongoOptions,
  resolveMongoOptions,
} from './mongo-options.js';
import { Retention } from './retention.js';
import { TaskFinder } from './task-finder.js';
import { TaskRemover } from './task-remover.js';
import { TaskRows } from './task-rows.js';
import { TaskWriter } from './task-writer.js';
import { WriteQueue } from './write-queue.js';

export interface MongoContext {
  readonly log: Logger;
  /** Session id of the hub. It names the database if the `database` option is empty. */
  readonly session: string;
}

/** Time to write the queued changes when the store is closed, in ms; the second value applies during an outage. */
const CLOSE_TIMEOUT = 10_000;
const CLOSE_TIMEOUT_DOWN = 1000;

/**
 * Stores tasks in MongoDB, in the documents of ipyparallel's MongoDB backend. The server runs queries; this process finishes
 * those that the server does not evaluate exactly. During an outage changes are queued and reads fail.
 */
export class MongoDatabase implements TaskDatabase {
  readonly kind = 'mongodb';
  readonly #connection: MongoConnection;
  readonly #queue: WriteQueue;
  readonly #finder: TaskFinder;
  readonly #remover: TaskRemover;
  readonly #retention: Retention;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout | undefined;
  #culledIds: string[] = [];
  #cullPromise: Promise<void> | undefined;
  #closePromise: Promise<void> | undefined;

  private constructor(options: ResolvedMongoOptions, connection: MongoConnection, log: Logger) {
    const { driver, records, lastSecond, name } = connection;
    this.#connection = connection;
    this.#log = log;
    const writer = new TaskWriter({ ...connection, ids: new ArrivalIds(lastSecond), log });
    const retention = new Retention(options, records);
    this.#retention = retention;
    this.#queue = new WriteQueue({
      writeBatch: async (changes) => {
        retention.recordWrite(await writer.write(changes));
      },
      isOutage: (error) => isOutage(driver, error),
      batchDelay: connection.traits.batchDelay,
      server: name,
      log,
    });
    const rows = new TaskRows(connection, this.#queue, log);
    this.#finder = new TaskFinder(connection, rows);
    this.#remover = new TaskRemover(connection, rows, this.#finder, (tasks) => {
      writer.forget(tasks.map(({ msgId }) => msgId));
      retention.recordRemoval(tasks);
    });
    if (retention.checkInterval === undefined) return;
    this.#timer = setInterval(() => void this.#cull(), retention.checkInterval);
    this.#timer.unref();
  }

  /**
   * Connects to the server and creates the missing indexes.
   * @throws {UsageError} MISSING_DRIVER when the driver is not installed
   * @throws {TransportError} DATABASE_UNAVAILABLE when no server replies in time or the server refuses access
   */
  static async open(options: MongoDatabaseOptions, { log, session }: MongoContext): Promise<MongoDatabase> {
    const resolved = resolveMongoOptions(options, session);
    const connection = await connect(resolved);
    const database = new MongoDatabase(resolved, connection, log);
    try {
      await database.#retention.countRecords();
    } catch (error) {
      await database.close();
      throw createOpenError(connection.name, error);
    }
    log.info(`tasks are stored in ${connection.name} (${connection.traits.name})`);
    return database;
  }

  async write(changes: readonly TaskChange[]): Promise<WriteOutcome> {
    await this.#queue.push(changes);
    const { length, bytes } = this.#queue;
    if (this.#retention.isDue(length, bytes)) {
      await this.#queue.drain().catch(() => undefined);
      if (!this.#queue.isDown && this.#retention.isDue()) await this.#cull();
    }
    const culled = this.#culledIds;
    this.#culledIds = [];
    return { culled };
  }

  get(msgIds: readonly string[], keys?: readonly TaskKey[]): Promise<Map<string, FoundTask>> {
    return this.#finder.get(msgIds, keys);
  }

  find(query: QueryNode, options: FindOptions = {}): AsyncGenerator<readonly FoundTask[]> {
    return this.#finder.find(query, options);
  }

  count(query: QueryNode): Promise<number> {
    return this.#finder.count(query);
  }

  history(): Promise<string[]> {
    return this.#finder.history();
  }

  remove(selection: Selection, options: { readonly dryRun?: boolean } = {}): Promise<RemovalResult> {
    return this.#remover.remove(selection, options.dryRun === true);
  }

  close(): Promise<void> {
    this.#closePromise ??= this.#close();
    return this.#closePromise;
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer);
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#queue.isDown ? CLOSE_TIMEOUT_DOWN : CLOSE_TIMEOUT);
    });
    await Promise.race([this.#queue.drain().catch(() => undefined), timeout]);
    clearTimeout(timer);
    this.#queue.close();
    await this.#cullPromise;
    await this.#connection.client.close();
  }

  #cull(): Promise<void> {
    this.#cullPromise ??= this.#cullOnce().finally(() => {
      this.#cullPromise = undefined;
    });
    return this.#cullPromise;
  }

  async #cullOnce(): Promise<void> {
    try {
      const excess = await this.#retention.findExcess();
      await this.#remover.removeTasks(excess);
      for (const { msgId } of excess) this.#culledIds.push(msgId);
      if (excess.length > 0) this.#log.info(`removed ${excess.length} tasks, because a limit was exceeded`);
    } catch (error) {
      const isTemporary = error instanceof ReportedError || isOutage(this.#connection.driver, error);
      if (!isTemporary) this.#log.error('cannot remove the tasks that exceed the limits', error);
    }
  }
}
