import type { TaskKey } from '@ipyparallel-js/protocol';
import { allOf, TASK_KEYS } from '@ipyparallel-js/protocol/internal';
import type { Deadline } from '@ipyparallel-js/wire';
import type { HubDatabase } from './hub-database.js';
import type { HubOperations } from './hub-operations.js';
import { byIds, type RecordQuery, type Row, WHOLE_RANGE } from './record-query.js';
import { left } from './record-requests.js';

/** What a purge by query did, or would do. */
export interface PurgeReport {
  /** How many records went. */
  readonly count: number;
  /** Their size, estimated: as they are kept by our hub, as they travel from a stock one. */
  readonly bytes: number;
  /** Matches that stay, since they have not ended. */
  readonly pending: number;
  /** The ids of those that went; missing where they are more than our hub lists (10,000). */
  readonly msgIds?: readonly string[];
  readonly dryRun: boolean;
}

/** Ids in one request to purge, and records that are measured at a time. */
const CHUNK = 200;

/** Purges what a question selects. */
export class Purge {
  readonly #database: HubDatabase;
  readonly #operations: HubOperations;

  constructor(database: HubDatabase, operations: HubOperations) {
    this.#database = database;
    this.#operations = operations;
  }

  /** Purges the matches that have ended. */
  async run(question: RecordQuery, dryRun: boolean, newDeadline: () => Deadline): Promise<PurgeReport> {
    const query = this.#database.sendable(question.node);
    if (query === undefined) return this.#byId(question, dryRun, newDeadline);
    if (isWhole(question)) return this.#operations.purgeQuery(query, dryRun, newDeadline());
    // The hub knows no range in a purge.
    const ids = await this.#database.ids(question, newDeadline);
    const total = { count: 0, bytes: 0, pending: 0 };
    const msgIds: string[] = [];
    for (let at = 0; at < ids.length; at += CHUNK) {
      const part = this.#database.sendable(allOf([byIds(ids.slice(at, at + CHUNK)), question.node]));
      if (part === undefined) continue;
      const report = await this.#operations.purgeQuery(part, dryRun, newDeadline());
      total.count += report.count;
      total.bytes += report.bytes;
      total.pending += report.pending;
      msgIds.push(...(report.msgIds ?? []));
    }
    return { ...total, msgIds, dryRun };
  }

  // A stock hub purges ids only, and measures nothing.
  async #byId(question: RecordQuery, dryRun: boolean, newDeadline: () => Deadline): Promise<PurgeReport> {
    const ended: string[] = [];
    let pending = 0;
    const keys = (['msg_id', 'submitted', 'completed'] as const).map((column) => ({ name: column, column }));
    for await (const rows of this.#database.pages({ ...question, keys }, newDeadline)) {
      for (const { msg_id, submitted, completed } of rows) {
        // What is known by its output alone will never end.
        if (completed !== null || submitted === null) ended.push(String(msg_id));
        else pending++;
      }
    }
    let bytes = 0;
    for (let at = 0; at < ended.length; at += CHUNK) {
      const found = await this.#database.byId(ended.slice(at, at + CHUNK), ALL_COLUMNS, newDeadline());
      for (const row of found.values()) bytes += sizeOf(row);
    }
    if (!dryRun) {
      for (let at = 0; at < ended.length; at += CHUNK)
        await this.#operations.purgeIds(ended.slice(at, at + CHUNK), left(newDeadline()));
    }
    return { count: ended.length, bytes, pending, msgIds: ended, dryRun };
  }
}

const ALL_COLUMNS: readonly TaskKey[] = TASK_KEYS;

function isWhole({ skip, limit }: RecordQuery): boolean {
  return skip === WHOLE_RANGE.skip && limit === WHOLE_RANGE.limit;
}

function sizeOf({ buffers, result_buffers, ...record }: Row): number {
  let bytes = Buffer.byteLength(JSON.stringify(record));
  for (const buffer of [...(buffers ?? []), ...(result_buffers ?? [])]) bytes += buffer.byteLength;
  return bytes;
}
