import { type TaskKey, TransportError } from '@ipyparallel-js/protocol';
import type { Collection, Document, MongoClient } from 'mongodb';
import { ReportedError } from '../../common/errors.js';
import { EXTRAS, extrasOf, type TaskDocument } from './document.js';
import { type Driver, isOutage, loadDriver } from './driver.js';
import { type ResolvedMongoOptions, withoutPassword } from './mongo-options.js';
import { OutsideValues, type PartDocument } from './outside-values.js';
import { readServerTraits, type ServerTraits } from './server-traits.js';

/** A server with its collection of tasks. */
export interface MongoConnection {
  readonly driver: Driver;
  readonly client: MongoClient;
  readonly records: Collection<TaskDocument>;
  readonly outside: OutsideValues;
  readonly traits: ServerTraits;
  /** The columns of which some document has its value outside. */
  readonly outsideColumns: Set<TaskKey>;
  /** The greatest second in an `_id`: what comes now must come after it. */
  readonly lastSecond: number;
  /** Where it is, for messages. */
  readonly name: string;
}

/**
 * Connects, and makes sure of the collection's indexes.
 * @throws UsageError MISSING_DRIVER, TransportError DATABASE_UNAVAILABLE when no server answers in time, or it refuses
 */
export async function connect(options: ResolvedMongoOptions): Promise<MongoConnection> {
  const driver = await loadDriver();
  const name = serverName(options);
  const since = performance.now();
  let client: MongoClient | undefined;
  try {
    client = new driver.MongoClient(options.uri, clientOptions(options));
    const db = client.db(options.database);
    const traits = await readServerTraits(db);
    const records = db.collection<TaskDocument>(options.collection);
    // Python's two; the third gives the default order of answers.
    await records.createIndex('msg_id', { unique: true });
    await records.createIndex('submitted');
    await records.createIndex({ submitted: 1, msg_id: 1 });
    const parts = db.collection<PartDocument>(`${options.collection}.parts`);
    return {
      ...{ driver, client, records, traits, name },
      outside: new OutsideValues(parts, driver),
      outsideColumns: await columnsOutside(records),
      lastSecond: await lastSecond(records, driver),
    };
  } catch (error) {
    await client?.close().catch(() => undefined);
    throw unusable(`${name}, after ${Math.round(performance.now() - since)} ms`, error, options.uri);
  }
}

/** A database that cannot be begun with. */
export function unusable(name: string, error: unknown, uri?: string): TransportError {
  const why = uri === undefined ? reason(error) : reason(error).replaceAll(uri, withoutPassword(uri));
  return new TransportError(`the Task Database ${name}, cannot be used: ${why}`, {
    code: 'DATABASE_UNAVAILABLE',
    cause: error,
  });
}

/** An outage in words for whoever asked; any other error as it is. */
export function toldOf(error: unknown, { driver, name }: MongoConnection, waiting: number): unknown {
  if (!isOutage(driver, error)) return error;
  return new ReportedError(
    'DatabaseUnavailable',
    `the Task Database ${name} does not answer (${reason(error)}); ${waiting} changes wait for it`,
  );
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
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
  return {
    ...options,
    fieldsAsRaw,
    promoteBuffers: true,
    enableUtf8Validation: false,
    appName: 'ipyparallel-js',
  };
}

async function columnsOutside(records: Collection<TaskDocument>): Promise<Set<TaskKey>> {
  const columns = new Set<TaskKey>();
  const cursor = records.find({ [`${EXTRAS}.outside`]: { $exists: true } }, { projection: { [EXTRAS]: 1 } });
  for await (const document of cursor) {
    for (const key of Object.keys(extrasOf(document).outside ?? {})) columns.add(key as TaskKey);
  }
  return columns;
}

async function lastSecond(records: Collection<TaskDocument>, driver: Driver): Promise<number> {
  const last = await records.findOne({}, { sort: { _id: -1 }, projection: { _id: 1 } });
  const id: unknown = last?._id;
  return id instanceof driver.ObjectId ? id.getTimestamp().getTime() / 1000 : 0;
}
