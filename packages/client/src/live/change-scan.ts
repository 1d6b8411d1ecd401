import { isDone } from '@ipyparallel-js/protocol';
import { parseQuery } from '@ipyparallel-js/protocol/internal';
import type { Deadline } from '@ipyparallel-js/wire';
import type { HubDatabase } from '../hub/hub-database.js';
import type { Row } from '../hub/record-query.js';
import type { LiveSet } from './live-set.js';

/** The number of known records that each scan reads again, in rotation, to find changes that nothing else reveals. */
const ROTATION_RECORDS = 50;

const INCOMPLETE_TASKS = parseQuery({ completed: null });
const RESUBMITTED_TASKS = parseQuery({ resubmitted: { $ne: null } });

export interface ChangeScanOptions {
  readonly database: HubDatabase;
  /** The ids that the query names; undefined if it names none. */
  readonly namedIds: ReadonlySet<string> | undefined;
  /** Whether the live query reads the column `resubmitted`. */
  readonly readsResubmitted: boolean;
  /** Sends a request with its deadline, after the other requests of the client's polling. */
  readonly request: <T>(send: (deadline: Deadline) => Promise<T>) => Promise<T>;
}

/**
 * Finds the records of a live query that may have changed without a signal, by requests that are cheap on every Python hub.
 * Its state is valid for one connection.
 */
export class ChangeScan {
  readonly #options: ChangeScanOptions;
  /** The ids in the hub's history at the last scan. */
  #history: ReadonlySet<string> = new Set();
  /** The engine of each incomplete task. */
  #incompleteTasks = new Map<string, string | null>();
  readonly #resubmittedIds = new Set<string>();
  /** The position of the rotation that reads known records again. */
  #rotationIndex = 0;

  constructor(options: ChangeScanOptions) {
    this.#options = options;
  }

  /** Reads the state with which the first scan compares. */
  async start(): Promise<void> {
    const { database, namedIds, request } = this.#options;
    if (namedIds !== undefined) return;
    this.#history = new Set(await request((deadline) => database.history(deadline)));
    this.#incompleteTasks = await this.#readIncompleteTasks();
  }

  /** Whether the hub had this task at the last scan or recheck. */
  has(msgId: string): boolean {
    return this.#history.has(msgId) || this.#incompleteTasks.has(msgId);
  }

  /** Notes the current record of a task. */
  noteRow(row: Row): void {
    if (this.#options.namedIds !== undefined) return;
    if ((row.completed ?? null) === null) this.#incompleteTasks.set(row.msg_id, row.engine_uuid ?? null);
    else this.#incompleteTasks.delete(row.msg_id);
  }

  /** Notes that a task has no record any more. */
  noteRemoval(msgId: string): void {
    this.#incompleteTasks.delete(msgId);
  }

  /** Returns the ids of records that may have changed. Awaits `afterRequest` after each request of a long scan. */
  async findSuspects(set: LiveSet, afterRequest: () => Promise<void>): Promise<Set<string>> {
    const { namedIds } = this.#options;
    return namedIds === undefined
      ? await this.#searchHistory(set, afterRequest)
      : this.#searchNamedIds(set, namedIds);
  }

  async #searchHistory(set: LiveSet, afterRequest: () => Promise<void>): Promise<Set<string>> {
    const { database, readsResubmitted, request } = this.#options;
    const history = await request((deadline) => database.history(deadline));
    await afterRequest();
    const ids = new Set(history);
    const suspects = new Set(history.filter((msgId) => !this.#history.has(msgId)));
    // A record that was created from output alone may be missing in the history.
    for (const msgId of set.ids) if (!ids.has(msgId)) suspects.add(msgId);
    if (this.#incompleteTasks.size > 0 || suspects.size > 0) {
      const incompleteTasks = await this.#readIncompleteTasks();
      for (const [msgId, engine] of this.#incompleteTasks)
        if (incompleteTasks.get(msgId) !== engine && ids.has(msgId)) suspects.add(msgId);
      for (const [msgId, engine] of incompleteTasks)
        if (this.#incompleteTasks.get(msgId) !== engine) suspects.add(msgId);
      this.#incompleteTasks = incompleteTasks;
      await afterRequest();
    }
    if (readsResubmitted) {
      const rows = await request((deadline) => database.matches(RESUBMITTED_TASKS, ['msg_id'], deadline));
      for (const { msg_id } of rows) if (!this.#resubmittedIds.has(msg_id)) suspects.add(msg_id);
      for (const { msg_id } of rows) this.#resubmittedIds.add(msg_id);
    }
    this.#history = ids;
    for (const msgId of this.#nextInRotation(history)) suspects.add(msgId);
    return suspects;
  }

  #searchNamedIds(set: LiveSet, namedIds: ReadonlySet<string>): Set<string> {
    const suspects = new Set<string>();
    for (const msgId of namedIds) {
      const row = set.get(msgId);
      if (row === undefined || !isDone(row.status)) suspects.add(msgId);
    }
    for (const msgId of this.#nextInRotation([...namedIds])) suspects.add(msgId);
    return suspects;
  }

  #nextInRotation(ids: readonly string[]): readonly string[] {
    if (this.#rotationIndex >= ids.length) this.#rotationIndex = 0;
    const next = ids.slice(this.#rotationIndex, this.#rotationIndex + ROTATION_RECORDS);
    this.#rotationIndex += ROTATION_RECORDS;
    return next;
  }

  async #readIncompleteTasks(): Promise<Map<string, string | null>> {
    const { database, request } = this.#options;
    const rows = await request((deadline) =>
      database.matches(INCOMPLETE_TASKS, ['msg_id', 'engine_uuid'], deadline),
    );
    return new Map(rows.map(({ msg_id, engine_uuid }) => [msg_id, engine_uuid ?? null]));
  }
}
