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
import { TaskFinder } from './find-tasks.js';
import { connect, type MongoConnection, unusable } from './mongo-connection.js';
import {
  type MongoDatabaseOptions,
  type ResolvedMongoOptions,
  resolveMongoOptions,
} from './mongo-options.js';
import { TaskRemover } from './remove-tasks.js';
import { Retention } from './retention.js';
import { TaskRows } from './task-rows.js';
import { TaskWriter } from './task-writer.js';
import { WriteQueue } from './write-queue.js';

/** What a store needs of its hub. */
export interface MongoContext {
  readonly log: Logger;
  /** The hub's session: names a database for which no name is wanted. */
  readonly session: string;
}

/** How long what waits may take to be written when the hub ends, in ms; and where the server is out of reach. */
const CLOSE_TIMEOUT = 10_000;
const CLOSE_TIMEOUT_DOWN = 1000;

/**
 * Tasks in MongoDB, in the documents that ipyparallel's own MongoDB backend writes and reads. Queries are relayed; what
 * a server cannot be trusted with is finished here. While the server is out of reach, changes wait and questions fail.
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
  #culled: string[] = [];
  #culling: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  private constructor(options: ResolvedMongoOptions, connection: MongoConnection, log: Logger) {
    const { driver, records, lastSecond, name } = connection;
    this.#connection = connection;
    this.#log = log;
    const writer = new TaskWriter({ ...connection, ids: new ArrivalIds(lastSecond), log });
    const retention = new Retention(options, records);
    this.#retention = retention;
    this.#queue = new WriteQueue({
      writeBatch: async (changes) => {
        retention.wrote(await writer.write(changes));
      },
      isOutage: (error) => isOutage(driver, error),
      gatherFor: connection.traits.gatherFor,
      server: name,
      log,
    });
    const rows = new TaskRows(connection, this.#queue, log);
    this.#finder = new TaskFinder(connection, rows);
    this.#remover = new TaskRemover(connection, rows, this.#finder, (tasks) => {
      writer.removed(tasks.map(({ msgId }) => msgId));
      retention.dropped(tasks);
    });
    if (retention.interval === undefined) return;
    this.#timer = setInterval(() => void this.#cull(), retention.interval);
    this.#timer.unref();
  }

  /**
   * Connects, and makes sure of the collection's indexes.
   * @throws UsageError MISSING_DRIVER, TransportError DATABASE_UNAVAILABLE when no server answers in time, or it refuses
   */
  static async open(options: MongoDatabaseOptions, { log, session }: MongoContext): Promise<MongoDatabase> {
    const resolved = resolveMongoOptions(options, session);
    const connection = await connect(resolved);
    const database = new MongoDatabase(resolved, connection, log);
    try {
      await database.#retention.start();
    } catch (error) {
      await database.close();
      throw unusable(connection.name, error);
    }
    log.info(`tasks are kept in ${connection.name} (${connection.traits.name})`);
    return database;
  }

  async write(changes: readonly TaskChange[]): Promise<WriteOutcome> {
    await this.#queue.push(changes);
    const { length, bytes } = this.#queue;
    if (this.#retention.isDue(length, bytes)) {
      await this.#queue.drain().catch(() => undefined);
      if (!this.#queue.isDown && this.#retention.isDue()) await this.#cull();
    }
    const culled = this.#culled;
    this.#culled = [];
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
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#queue.isDown ? CLOSE_TIMEOUT_DOWN : CLOSE_TIMEOUT);
    });
    await Promise.race([this.#queue.drain().catch(() => undefined), late]);
    clearTimeout(timer);
    this.#queue.close();
    await this.#culling;
    await this.#connection.client.close();
  }

  #cull(): Promise<void> {
    this.#culling ??= this.#cullOnce().finally(() => {
      this.#culling = undefined;
    });
    return this.#culling;
  }

  async #cullOnce(): Promise<void> {
    try {
      const excess = await this.#retention.excess();
      await this.#remover.drop(excess);
      for (const { msgId } of excess) this.#culled.push(msgId);
      if (excess.length > 0) this.#log.info(`${excess.length} old tasks were removed`);
    } catch (error) {
      const isPassing = error instanceof ReportedError || isOutage(this.#connection.driver, error);
      if (!isPassing) this.#log.error('old tasks could not be removed', error);
    }
  }
}
