import type { TaskKey } from '@ipyparallel-js/protocol';
import { allOf, TASK_KEYS } from '@ipyparallel-js/protocol/internal';
import type { Deadline } from '@ipyparallel-js/wire';
import type { HubDatabase } from './hub-database.js';
import type { HubOperations, PurgeReport } from './hub-operations.js';
import { byIds, isUnlimited, keysOf, type RecordQuery, type Row } from './record-query.js';
import { remainingWait } from './record-requests.js';

/** The number of ids in one purge request, and of records whose size is estimated at a time. */
const CHUNK_SIZE = 200;

/** Purges the records that a query selects. */
export class Purge {
  readonly #database: HubDatabase;
  readonly #operations: HubOperations;

  constructor(database: HubDatabase, operations: HubOperations) {
    this.#database = database;
    this.#operations = operations;
  }

  /** Purges the selected records whose tasks have ended; with `dryRun` only reports them. */
  async run(query: RecordQuery, dryRun: boolean, newDeadline: () => Deadline): Promise<PurgeReport> {
    const wireQuery = this.#database.wireQuery(query.node);
    if (wireQuery === undefined) return this.#purgeById(query, dryRun, newDeadline);
    if (isUnlimited(query)) return this.#operations.purgeQuery(wireQuery, dryRun, newDeadline());
    // A purge request has no range, so the ids are read first.
    const ids = await this.#database.ids(query, newDeadline);
    const total = { count: 0, bytes: 0, pending: 0 };
    const msgIds: string[] = [];
    for (let at = 0; at < ids.length; at += CHUNK_SIZE) {
      const part = this.#database.wireQuery(allOf([byIds(ids.slice(at, at + CHUNK_SIZE)), query.node]));
      if (part === undefined) continue;
      const report = await this.#operations.purgeQuery(part, dryRun, newDeadline());
      total.count += report.count;
      total.bytes += report.bytes;
      total.pending += report.pending;
      msgIds.push(...(report.msgIds ?? []));
    }
    return { ...total, msgIds, dryRun };
  }

  // A Python hub purges by id only and reports no sizes.
  async #purgeById(query: RecordQuery, dryRun: boolean, newDeadline: () => Deadline): Promise<PurgeReport> {
    const ended: string[] = [];
    let pending = 0;
    const keys = keysOf(['msg_id', 'submitted', 'completed']);
    for await (const rows of this.#database.pages({ ...query, keys }, newDeadline)) {
      for (const { msg_id, submitted, completed } of rows) {
        // A record that was created from output alone never ends.
        if (completed !== null || submitted === null) ended.push(String(msg_id));
        else pending++;
      }
    }
    let bytes = 0;
    for (let at = 0; at < ended.length; at += CHUNK_SIZE) {
      const found = await this.#database.byId(ended.slice(at, at + CHUNK_SIZE), ALL_COLUMNS, newDeadline());
      for (const row of found.values()) bytes += estimateSize(row);
    }
    if (!dryRun) {
      for (let at = 0; at < ended.length; at += CHUNK_SIZE)
        await this.#operations.purgeIds(ended.slice(at, at + CHUNK_SIZE), remainingWait(newDeadline()));
    }
    return { count: ended.length, bytes, pending, msgIds: ended, dryRun };
  }
}

const ALL_COLUMNS: readonly TaskKey[] = TASK_KEYS;

function estimateSize({ buffers, result_buffers, ...record }: Row): number {
  let bytes = Buffer.byteLength(JSON.stringify(record));
  for (const buffer of [...(buffers ?? []), ...(result_buffers ?? [])]) bytes += buffer.byteLength;
  return bytes;
}
