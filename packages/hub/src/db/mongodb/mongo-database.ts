import { type TaskKey, TransportError } from '@ipyparallel-js/protocol';
import {
  afterKeys,
  afterQuery,
  allOf,
  columnsOf,
  compareText,
  compilePredicate,
  type QueryNode,
  type Sort,
  sortRecords,
  TASK_COLUMNS,
} from '@ipyparallel-js/protocol/internal';
import type { Logger } from '@ipyparallel-js/wire';
import type { Collection, Document, MongoClient } from 'mongodb';
import { ReportedError } from '../../errors.js';
import type {
  FindOptions,
  FoundTask,
  Removed,
  Selection,
  TaskChange,
  TaskDatabase,
  WriteOutcome,
} from '../task-database.js';
import { ArrivalIds } from './arrival-ids.js';
import { compileQuery, type Filter, isScalar } from './compile-query.js';
import {
  ALL_BUT_BUFFERS,
  comparedField,
  decodeField,
  decodeOutside,
  EXTRAS,
  extrasOf,
  type OutsideValue,
  type TaskDocument,
} from './document.js';
import { type Driver, isOutage, loadDriver } from './driver.js';
import {
  type MongoDatabaseOptions,
  type ResolvedMongoOptions,
  resolveMongoOptions,
  withoutPassword,
} from './mongo-options.js';
import { OutsideValues, type PartDocument } from './outside-values.js';
import { Retention } from './retention.js';
import { readServerTraits, type ServerTraits } from './server-traits.js';
import { TaskWriter } from './task-writer.js';
import { WriteQueue } from './write-queue.js';

/** What a store needs of its hub. */
export interface MongoContext {
  readonly log: Logger;
  /** The hub's session: names a database for which no name is wanted. */
  readonly session: string;
}

interface Connection {
  readonly driver: Driver;
  readonly client: MongoClient;
  readonly records: Collection<TaskDocument>;
  readonly outside: OutsideValues;
  readonly traits: ServerTraits;
}

/** A record on its way out: its document, and those of its values that are elsewhere. */
interface Row {
  readonly document: TaskDocument;
  readonly outside: ReadonlyMap<string, unknown> | undefined;
}

const CHUNK = 256;
const CHUNK_BYTES = 8 << 20;
const BY_ARRIVAL = { _id: 1 } as const;
const NOTHING_OUTSIDE: ReadonlyMap<string, unknown> = new Map();

/** How long what waits may take to be written when the hub ends, in ms. */
const CLOSE_TIMEOUT = 1000;

const readRow = (row: Row, key: TaskKey): unknown => comparedField(key, row.document, row.outside);

/**
 * Tasks in MongoDB, in the documents that ipyparallel's own MongoDB backend writes and reads. Queries are relayed; what
 * a server cannot be trusted with is finished here. While the server is out of reach, changes wait and questions fail.
 */
export class MongoDatabase implements TaskDatabase {
  readonly kind = 'mongodb';
  readonly #options: ResolvedMongoOptions;
  readonly #driver: Driver;
  readonly #client: MongoClient;
  readonly #records: Collection<TaskDocument>;
  readonly #outside: OutsideValues;
  readonly #traits: ServerTraits;
  readonly #outsideColumns: Set<TaskKey>;
  readonly #queue: WriteQueue;
  readonly #retention: Retention;
  #culled: string[] = [];
  #closed: Promise<void> | undefined;

  private constructor(
    options: ResolvedMongoOptions,
    connection: Connection,
    outsideColumns: Set<TaskKey>,
    lastSecond: number,
    log: Logger,
  ) {
    const { driver, client, records, outside, traits } = connection;
    this.#options = options;
    this.#driver = driver;
    this.#client = client;
    this.#records = records;
    this.#outside = outside;
    this.#traits = traits;
    this.#outsideColumns = outsideColumns;
    const ids = new ArrivalIds(lastSecond);
    const writer = new TaskWriter({ driver, records, outside, traits, ids, outsideColumns, log });
    this.#retention = new Retention(options, records);
    this.#queue = new WriteQueue({
      writeBatch: async (changes) => {
        this.#retention.wrote(await writer.write(changes));
      },
      isOutage: (error) => isOutage(driver, error),
      server: serverName(options),
      log,
    });
  }

  /**
   * Connects, and makes sure of the collection's indexes.
   * @throws UsageError MISSING_DRIVER, TransportError DATABASE_UNAVAILABLE when no server answers in time
   */
  static async open(options: MongoDatabaseOptions, context: MongoContext): Promise<MongoDatabase> {
    const resolved = resolveMongoOptions(options, context.session);
    const driver = await loadDriver();
    const since = performance.now();
    let client: MongoClient | undefined;
    try {
      client = new driver.MongoClient(resolved.uri, clientOptions(resolved));
      const db = client.db(resolved.database);
      const traits = await readServerTraits(db);
      const records = db.collection<TaskDocument>(resolved.collection);
      // Python's two; the third gives the default order of answers.
      await records.createIndex('msg_id', { unique: true });
      await records.createIndex('submitted');
      await records.createIndex({ submitted: 1, msg_id: 1 });
      const parts = db.collection<PartDocument>(`${resolved.collection}.parts`);
      const outside = new OutsideValues(parts, driver);
      const connection = { driver, client, records, outside, traits };
      const columns = await columnsOutside(records);
      const last = await lastSecond(records, driver);
      const database = new MongoDatabase(resolved, connection, columns, last, context.log);
      await database.#retention.start();
      context.log.info(`tasks are kept in ${serverName(resolved)} (${traits.name})`);
      return database;
    } catch (error) {
      await client?.close().catch(() => undefined);
      const waited = Math.round(performance.now() - since);
      const why = error instanceof Error ? error.message : String(error);
      throw new TransportError(
        `the Task Database ${serverName(resolved)} cannot be used (after ${waited} ms): ${why.replaceAll(resolved.uri, withoutPassword(resolved.uri))}`,
        { code: 'DATABASE_UNAVAILABLE', cause: error },
      );
    }
  }

  async write(changes: readonly TaskChange[]): Promise<WriteOutcome> {
    await this.#queue.push(changes);
    if (this.#queue.length === 0 && this.#retention.isDue()) {
      try {
        await this.#cull();
      } catch (error) {
        if (!isOutage(this.#driver, error)) throw error;
      }
    }
    const culled = this.#culled;
    this.#culled = [];
    return { culled };
  }

  async get(msgIds: readonly string[], keys?: readonly TaskKey[]): Promise<Map<string, FoundTask>> {
    const found = new Map<string, FoundTask>();
    if (msgIds.length > this.#traits.listLength) {
      const wanted = new Set(msgIds);
      for await (const task of this.#tasks({}, keys))
        if (wanted.has(task.msg_id)) found.set(task.msg_id, task);
      return found;
    }
    for (let at = 0; at < msgIds.length; at += CHUNK) {
      const filter = { msg_id: { $in: msgIds.slice(at, at + CHUNK) } };
      for await (const task of this.#tasks(filter, keys)) found.set(task.msg_id, task);
    }
    return found;
  }

  async *find(query: QueryNode, options: FindOptions = {}): AsyncGenerator<readonly FoundTask[]> {
    const { keys, sort, after, skip = 0, limit = Number.POSITIVE_INFINITY } = options;
    if (limit === 0) return;
    if (sort !== undefined && !this.#serverSorts(sort)) {
      yield* this.#sortedHere(query, options, sort);
      return;
    }
    const place = sort === undefined || after === undefined ? undefined : afterQuery(sort, after);
    const whole = place === undefined ? query : allOf([query, place]);
    const { filter, residual } = this.#compile(whole);
    const order = sort === undefined ? BY_ARRIVAL : serverSort(sort);
    const columns = new Set<TaskKey>(keys ?? ALL_BUT_BUFFERS);
    const wanted = [...columns];
    if (residual !== undefined) for (const column of columnsOf(residual)) columns.add(column);
    const cut = residual === undefined ? { skip, ...(Number.isFinite(limit) ? { limit } : {}) } : {};
    const matches = residual === undefined ? undefined : compilePredicate<Row>(residual, readRow);

    let chunk: FoundTask[] = [];
    let bytes = 0;
    let passed = 0;
    for await (const row of this.#rows(filter, columns, { sort: order, ...cut })) {
      if (matches !== undefined) {
        if (!matches(row)) continue;
        if (passed++ < skip) continue;
      }
      chunk.push(project(row, wanted));
      bytes += extrasOf(row.document).bytes ?? 0;
      if (chunk.length >= CHUNK || bytes > CHUNK_BYTES) {
        yield chunk;
        chunk = [];
        bytes = 0;
      }
      if (matches !== undefined && passed >= skip + limit) break;
    }
    if (chunk.length > 0) yield chunk;
  }

  async count(query: QueryNode): Promise<number> {
    const { filter, residual } = this.#compile(query);
    if (residual === undefined) {
      return await this.#ask((records) => records.countDocuments(filter));
    }
    const matches = compilePredicate<Row>(residual, readRow);
    let count = 0;
    for await (const row of this.#rows(filter, columnsOf(residual), {})) if (matches(row)) count++;
    return count;
  }

  async history(): Promise<string[]> {
    const tasks: { readonly msgId: string; readonly submitted: string }[] = [];
    for await (const { msg_id, submitted } of this.#tasks({ submitted: { $ne: null } }, ['submitted'])) {
      if (typeof submitted === 'string') tasks.push({ msgId: msg_id, submitted });
    }
    // The texts are of one form, so their order is that of the moments, to the microsecond.
    tasks.sort((a, b) => compareText(a.submitted, b.submitted) || compareText(a.msgId, b.msgId));
    return tasks.map(({ msgId }) => msgId);
  }

  async remove(selection: Selection, options: { readonly dryRun?: boolean } = {}): Promise<Removed> {
    const rows: TaskDocument[] = [];
    if ('query' in selection) {
      const { filter, residual } = this.#compile(selection.query);
      const matches = residual === undefined ? undefined : compilePredicate<Row>(residual, readRow);
      const columns = residual === undefined ? new Set<TaskKey>() : columnsOf(residual);
      for await (const row of this.#rows(filter, columns, { sort: BY_ARRIVAL })) {
        if (matches?.(row) !== false)
          rows.push({ msg_id: row.document['msg_id'], [EXTRAS]: row.document[EXTRAS] });
      }
    } else {
      const ids = [...new Set(selection.msgIds)];
      for (let at = 0; at < ids.length; at += CHUNK) {
        const filter = { msg_id: { $in: ids.slice(at, at + CHUNK) } };
        for await (const { document } of this.#rows(filter, new Set(), {})) rows.push(document);
      }
    }
    const msgIds = rows.map((document) => String(document['msg_id']));
    const bytes = await this.#bytesOf(rows);
    if (options.dryRun !== true) await this.#drop(rows);
    return { count: msgIds.length, bytes, msgIds };
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_TIMEOUT);
    });
    await Promise.race([this.#queue.drain().catch(() => undefined), late]);
    clearTimeout(timer);
    this.#queue.close();
    await this.#client.close();
  }

  #compile(query: QueryNode) {
    return compileQuery(query, this.#traits, this.#outsideColumns);
  }

  #serverSorts(sort: Sort): boolean {
    return sort.every(
      ({ field }) =>
        field.path.length === 0 && isScalar(field.column) && !this.#outsideColumns.has(field.column),
    );
  }

  /** What no server orders in our way: only what is compared is read of all matches, the rest chunk by chunk. */
  async *#sortedHere(
    query: QueryNode,
    options: FindOptions,
    sort: Sort,
  ): AsyncGenerator<readonly FoundTask[]> {
    const { keys, after, skip = 0, limit = Number.POSITIVE_INFINITY } = options;
    const { filter, residual } = this.#compile(query);
    const matches = residual === undefined ? undefined : compilePredicate<Row>(residual, readRow);
    const comesAfter = after === undefined ? undefined : afterKeys<Row>(sort, after, readRow);
    const columns = residual === undefined ? new Set<TaskKey>() : columnsOf(residual);
    for (const { field } of sort) columns.add(field.column);
    const rows: Row[] = [];
    for await (const row of this.#rows(filter, columns, {})) {
      if (matches?.(row) !== false && comesAfter?.(row) !== false) rows.push(row);
    }
    const sorted = sortRecords(rows, sort, readRow).slice(skip, skip + limit);
    const ids = sorted.map(({ document }) => String(document['msg_id']));
    for (let at = 0; at < ids.length; at += CHUNK) {
      const chunk = ids.slice(at, at + CHUNK);
      const found = await this.get(chunk, keys);
      const tasks = chunk.map((id) => found.get(id)).filter((task) => task !== undefined);
      if (tasks.length > 0) yield tasks;
    }
  }

  async *#tasks(filter: Filter, keys: readonly TaskKey[] = ALL_BUT_BUFFERS): AsyncGenerator<FoundTask> {
    for await (const row of this.#rows(filter, new Set(keys), {})) yield project(row, keys);
  }

  /** Documents with these columns, and what of them is outside. Sees every write before it. @throws ReportedError */
  async *#rows(
    filter: Filter,
    columns: ReadonlySet<TaskKey>,
    options: { sort?: Document; skip?: number; limit?: number },
  ): AsyncGenerator<Row> {
    await this.#upToDate();
    const projection: Record<string, 0 | 1> = { _id: 0, msg_id: 1, [EXTRAS]: 1 };
    for (const column of columns) projection[column] = 1;
    try {
      const cursor = this.#records.find(filter, {
        ...options,
        ...{ projection, batchSize: CHUNK, allowDiskUse: true },
      });
      for await (const document of cursor) {
        yield { document, outside: await this.#loadOutside(document, columns) };
      }
    } catch (error) {
      throw this.#told(error);
    }
  }

  async #loadOutside(
    document: TaskDocument,
    columns: ReadonlySet<TaskKey>,
  ): Promise<ReadonlyMap<string, unknown>> {
    const { outside } = extrasOf(document);
    if (outside === undefined) return NOTHING_OUTSIDE;
    const values = new Map<string, unknown>();
    for (const [key, value] of Object.entries(outside)) {
      if (!Object.hasOwn(TASK_COLUMNS, key) || !columns.has(key as TaskKey)) continue;
      values.set(key, decodeOutside(key as TaskKey, await this.#outside.read(value)));
    }
    return values;
  }

  async #ask<T>(ask: (records: Collection<TaskDocument>) => Promise<T>): Promise<T> {
    await this.#upToDate();
    try {
      return await ask(this.#records);
    } catch (error) {
      throw this.#told(error);
    }
  }

  /** What the hub has been told of is written before anything is read. */
  async #upToDate(): Promise<void> {
    try {
      await this.#queue.drain();
    } catch (error) {
      throw this.#told(error);
    }
  }

  #told(error: unknown): unknown {
    if (!isOutage(this.#driver, error)) return error;
    const waiting = this.#queue.length;
    return new ReportedError(
      'DatabaseUnavailable',
      `the Task Database ${serverName(this.#options)} does not answer (${error instanceof Error ? error.message : String(error)}); ${waiting} changes wait for it`,
    );
  }

  async #cull(): Promise<void> {
    const rows = await this.#retention.excess();
    if (rows.length === 0) return;
    await this.#drop(rows);
    this.#culled.push(...rows.map((document) => String(document['msg_id'])));
  }

  async #drop(rows: readonly TaskDocument[]): Promise<void> {
    try {
      for (let at = 0; at < rows.length; at += CHUNK) {
        const chunk = rows.slice(at, at + CHUNK);
        await this.#records.deleteMany({ msg_id: { $in: chunk.map((document) => document['msg_id']) } });
        await this.#outside.remove(chunk.flatMap(outsideOf));
        this.#retention.dropped(chunk);
      }
    } catch (error) {
      throw this.#told(error);
    }
  }

  /** What Python's hub wrote has no size noted: those documents are measured. */
  async #bytesOf(rows: readonly TaskDocument[]): Promise<number> {
    let bytes = 0;
    const unknown: string[] = [];
    for (const row of rows) {
      const known = extrasOf(row).bytes;
      if (known === undefined) unknown.push(String(row['msg_id']));
      else bytes += known;
    }
    for (let at = 0; at < unknown.length; at += CHUNK) {
      const filter = { msg_id: { $in: unknown.slice(at, at + CHUNK) } };
      bytes += await this.#ask(async (records) => {
        let sum = 0;
        for await (const document of records.find(filter))
          sum += this.#driver.BSON.calculateObjectSize(document);
        return sum;
      });
    }
    return bytes;
  }
}

function project(row: Row, keys: readonly TaskKey[]): FoundTask {
  const task: Record<string, unknown> = { msg_id: row.document['msg_id'] };
  for (const key of keys) task[key] = decodeField(key, row.document, row.outside);
  return task as FoundTask;
}

function outsideOf(document: TaskDocument): OutsideValue[] {
  return Object.values(extrasOf(document).outside ?? {});
}

function serverSort(sort: Sort): Record<string, 1 | -1> {
  return Object.fromEntries(sort.map(({ field, descending }) => [field.name, descending ? -1 : 1]));
}

function serverName({ uri, database, collection }: ResolvedMongoOptions): string {
  return `${withoutPassword(uri)}, ${database}.${collection}`;
}

/** Waits that the URI does not choose itself. */
function clientOptions({ uri, timeout }: ResolvedMongoOptions) {
  const options: Record<string, number> = {};
  const wanted = {
    serverSelectionTimeoutMS: timeout,
    connectTimeoutMS: timeout,
    socketTimeoutMS: 6 * timeout,
  };
  for (const [name, value] of Object.entries(wanted)) {
    if (!new RegExp(`[?&]${name}=`, 'i').test(uri)) options[name] = value;
  }
  // The driver looks names up in this object: in a plain one it finds `__proto__` and `constructor`, which tasks have, too.
  const fieldsAsRaw: Document = Object.create(null);
  return { ...options, fieldsAsRaw, promoteBuffers: true, appName: 'ipyparallel-js' };
}

async function columnsOutside(records: Collection<TaskDocument>): Promise<Set<TaskKey>> {
  const columns = new Set<TaskKey>();
  const cursor = records.find({ [`${EXTRAS}.outside`]: { $exists: true } }, { projection: { [EXTRAS]: 1 } });
  for await (const document of cursor) {
    for (const key of Object.keys(extrasOf(document).outside ?? {})) columns.add(key as TaskKey);
  }
  return columns;
}

/** The second of the last arrival: what comes now must come after it. */
async function lastSecond(records: Collection<TaskDocument>, driver: Driver): Promise<number> {
  const last = await records.findOne({}, { sort: { _id: -1 }, projection: { _id: 1 } });
  const id: unknown = last?._id;
  return id instanceof driver.ObjectId ? id.getTimestamp().getTime() / 1000 : 0;
}
