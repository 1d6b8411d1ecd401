import { type TaskKey, TransportError } from '@ipyparallel-js/protocol';
import type { Collection, Document, MongoClient } from 'mongodb';
import { messageOf, ReportedError } from '../../common/errors.js';
import { type Driver, isOutage, loadDriver } from './driver.js';
import { ExternalValues, type PartDocument } from './external-values.js';
import { type ResolvedMongoOptions, withoutPassword } from './mongo-options.js';
import { readServerTraits, type ServerTraits } from './server-traits.js';
import { EXTRAS, extrasOf, type TaskDocument } from './task-document.js';

/** A connection to a server and its collections. */
export interface MongoConnection {
  readonly driver: Driver;
  readonly client: MongoClient;
  readonly records: Collection<TaskDocument>;
  readonly externalValues: ExternalValues;
  readonly traits: ServerTraits;
  /** The columns for which at least one document has an external value. */
  readonly externalColumns: Set<TaskKey>;
  /** The greatest second in an existing `_id`; new ones must be greater. */
  readonly lastSecond: number;
  /** Server and collection, for messages. */
  readonly name: string;
}

/**
 * Connects to the server and creates the missing indexes.
 * @throws {UsageError} MISSING_DRIVER when the driver is not installed
 * @throws {TransportError} DATABASE_UNAVAILABLE when no server replies in time or the server refuses access
 */
export async function connect(options: ResolvedMongoOptions): Promise<MongoConnection> {
  const driver = await loadDriver();
  const name = serverName(options);
  const startedAt = performance.now();
  let client: MongoClient | undefined;
  try {
    client = new driver.MongoClient(options.uri, clientOptions(options));
    const db = client.db(options.database);
    const traits = await readServerTraits(db);
    const records = db.collection<TaskDocument>(options.collection);
    // The first two are ipyparallel's; the third is for the default order.
    await records.createIndex('msg_id', { unique: true });
    await records.createIndex('submitted');
    await records.createIndex({ submitted: 1, msg_id: 1 });
    const parts = db.collection<PartDocument>(`${options.collection}.parts`);
    return {
      ...{ driver, client, records, traits, name },
      externalValues: new ExternalValues(parts, driver),
      externalColumns: await findExternalColumns(records),
      lastSecond: await readLastSecond(records, driver),
    };
  } catch (error) {
    await client?.close().catch(() => undefined);
    throw createOpenError(
      `${name}, after ${Math.round(performance.now() - startedAt)} ms`,
      error,
      options.uri,
    );
  }
}

/** Creates the error for a database that cannot be opened. */
export function createOpenError(name: string, error: unknown, uri?: string): TransportError {
  const cause = uri === undefined ? messageOf(error) : messageOf(error).replaceAll(uri, withoutPassword(uri));
  return new TransportError(`the Task Database ${name}, cannot be used: ${cause}`, {
    code: 'DATABASE_UNAVAILABLE',
    cause: error,
  });
}

/** Converts an outage to an error for the client; returns any other error unchanged. */
export function toReportedError(
  error: unknown,
  { driver, name }: MongoConnection,
  queuedChanges: number,
): unknown {
  if (!isOutage(driver, error)) return error;
  return new ReportedError(
    'DatabaseUnavailable',
    `the Task Database ${name} does not reply (${messageOf(error)}); ${queuedChanges} changes are queued`,
  );
}

function serverName({ uri, database, collection }: ResolvedMongoOptions): string {
  return `${withoutPassword(uri)}, ${database}.${collection}`;
}

/** Returns the driver's options; the timeouts only if the URI does not set them. */
function clientOptions({ uri, timeout }: ResolvedMongoOptions) {
  const options: Record<string, number> = {};
  const defaults = {
    serverSelectionTimeoutMS: timeout,
    connectTimeoutMS: timeout,
    socketTimeoutMS: 6 * timeout,
  };
  for (const [name, value] of Object.entries(defaults)) {
    if (!new RegExp(`[?&]${name}=`, 'i').test(uri)) options[name] = value;
  }
  // The driver looks up field names in this object. Without a null prototype it would find `constructor` and `__proto__`.
  const fieldsAsRaw: Document = Object.create(null);
  return {
    ...options,
    fieldsAsRaw,
    promoteBuffers: true,
    enableUtf8Validation: false,
    appName: 'ipyparallel-js',
  };
}

async function findExternalColumns(records: Collection<TaskDocument>): Promise<Set<TaskKey>> {
  const columns = new Set<TaskKey>();
  const cursor = records.find({ [`${EXTRAS}.outside`]: { $exists: true } }, { projection: { [EXTRAS]: 1 } });
  for await (const document of cursor) {
    for (const key of Object.keys(extrasOf(document).outside ?? {})) columns.add(key as TaskKey);
  }
  return columns;
}

async function readLastSecond(records: Collection<TaskDocument>, driver: Driver): Promise<number> {
  const last = await records.findOne({}, { sort: { _id: -1 }, projection: { _id: 1 } });
  const id: unknown = last?._id;
  return id instanceof driver.ObjectId ? id.getTimestamp().getTime() / 1000 : 0;
}
