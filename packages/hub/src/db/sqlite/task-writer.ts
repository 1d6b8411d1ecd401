import type { TaskKey } from '@ipyparallel-js/protocol';
import { emptyTask, type StoredTask, type TaskChange } from '../task-database.js';
import { encodeCell } from './cells.js';
import { type Connection, sqliteCode } from './driver.js';
import { type Layout, quoted } from './layout.js';
import { Statements } from './statements.js';

type Update = Extract<TaskChange, { op: 'update' }>;

/** No text in JavaScript can be longer than half a gigabyte; output beyond this is dropped. */
const MAX_OUTPUT = 1 << 28;

/** How long one transaction may hold the thread, in ms. */
const SLICE = 5;

/** A row that was removed. */
export interface RemovedRow {
  readonly msgId: string;
  readonly bytes: number;
}

/** Changes a Task Database's file; each call is one transaction, which is on disk when it returns. */
export class TaskWriter {
  readonly #connection: Connection;
  readonly #layout: Layout;
  readonly #onBadChange: (msgId: string, error: unknown) => void;
  readonly #statements: Statements;

  constructor(connection: Connection, layout: Layout, onBadChange: (msgId: string, error: unknown) => void) {
    this.#connection = connection;
    this.#statements = new Statements(connection);
    this.#layout = layout;
    this.#onBadChange = onBadChange;
  }

  /**
   * Applies changes from the first on, as many as a short time allows, and says how many.
   * @throws the driver's error when the file cannot take them now; then none is applied
   */
  apply(changes: readonly TaskChange[], from: number): number {
    const until = performance.now() + SLICE;
    let at = from;
    this.transaction(() => {
      do {
        const change = changes[at];
        if (change === undefined) return;
        this.#applyOne(change);
        at++;
      } while (performance.now() < until);
    });
    return at - from;
  }

  transaction<T>(body: () => T): T {
    this.#statements.run('BEGIN IMMEDIATE');
    try {
      const result = body();
      this.#statements.run('COMMIT');
      return result;
    } catch (error) {
      try {
        this.#connection.exec('ROLLBACK');
      } catch {
        // Some failures have rolled it back already.
      }
      throw error;
    }
  }

  /** Removes rows that (still) meet a condition on the row `t`. */
  remove(
    column: 'rowid' | 'msg_id',
    values: readonly (number | string)[],
    condition: { readonly sql: string; readonly params: readonly unknown[] },
  ): RemovedRow[] {
    const { table, side } = this.#layout;
    const list = JSON.stringify(values);
    return this.transaction(() => {
      const rows = this.#statements.rows(
        `DELETE FROM ${table} AS t WHERE t.${column} IN (SELECT value FROM json_each(?)) AND (${condition.sql})
          RETURNING CAST(msg_id AS BLOB), ${this.bytes()}`,
        [list, ...condition.params],
      ) as [ArrayBuffer | null, number][];
      const removed = rows.map(([id, bytes]) => ({
        msgId: id === null ? '' : Buffer.from(id).toString('utf8'),
        bytes,
      }));
      const ids = JSON.stringify(removed.map(({ msgId }) => msgId));
      this.#statements.run(`DELETE FROM ${side} WHERE msg_id IN (SELECT value FROM json_each(?))`, [ids]);
      return removed;
    });
  }

  /** What the cells of a row take. */
  bytes(): string {
    return this.#layout.columns.map((key) => `coalesce(octet_length(${quoted(key)}), 0)`).join(' + ');
  }

  #applyOne(change: TaskChange): void {
    try {
      if (change.op === 'add') this.#add(change.task);
      else this.#update(change);
    } catch (error) {
      // One that can never be written must not keep the others out; whatever else is wrong may pass.
      const code = sqliteCode(error);
      const hopeless = code === undefined || /^SQLITE_(TOOBIG|MISMATCH|CONSTRAINT|RANGE)/.test(code);
      if (!hopeless) throw error;
      this.#onBadChange(change.op === 'add' ? change.task.msg_id : change.msgId, error);
    }
  }

  #add(task: StoredTask): void {
    const { table, columns, sideColumns } = this.#layout;
    const names = columns.map(quoted);
    // Where output made a row before, what only that has is kept.
    const kept = names.map((name) => `${name} = coalesce(nullif(excluded.${name}, ''), ${table}.${name})`);
    this.#statements.run(
      `INSERT INTO ${table} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})
        ON CONFLICT (msg_id) DO UPDATE SET ${kept.join(', ')}`,
      columns.map((key) => encodeCell(key, task[key])),
    );
    for (const key of sideColumns) {
      if (task[key] !== null) this.#setBeside(task.msg_id, key, task[key]);
    }
  }

  #update(change: Update): void {
    const { msgId, set = {}, append, orAdd } = change;
    const { table, columns, sideColumns } = this.#layout;
    const sets: string[] = [];
    const values: unknown[] = [];
    const fields = set as { readonly [K in TaskKey]?: unknown };
    for (const key of columns) {
      if (key === 'msg_id' || !Object.hasOwn(fields, key)) continue;
      sets.push(`${quoted(key)} = ?`);
      values.push(encodeCell(key, fields[key]));
    }
    for (const name of ['stdout', 'stderr'] as const) {
      const text = append?.[name];
      if (text === undefined || text === '') continue;
      const most = MAX_OUTPUT - Buffer.byteLength(text);
      sets.push(
        `${name} = CASE WHEN coalesce(octet_length(${name}), 0) <= ? THEN coalesce(${name}, '') || ? ELSE ${name} END`,
      );
      values.push(most, text);
    }
    if (sets.length === 0) sets.push('msg_id = msg_id');
    values.push(msgId);
    const sql = `UPDATE ${table} SET ${sets.join(', ')} WHERE msg_id = ?`;
    let changes = this.#statements.run(sql, values);
    if (changes === 0 && orAdd === true) {
      this.#add(emptyTask(msgId));
      changes = this.#statements.run(sql, values);
    }
    if (changes === 0) return;
    for (const key of sideColumns) {
      if (Object.hasOwn(fields, key)) this.#setBeside(msgId, key, fields[key]);
    }
  }

  #setBeside(msgId: string, key: TaskKey, value: unknown): void {
    const name = quoted(key);
    this.#statements.run(
      `INSERT INTO ${this.#layout.side} (msg_id, ${name}) VALUES (?, ?)
        ON CONFLICT (msg_id) DO UPDATE SET ${name} = excluded.${name}`,
      [msgId, encodeCell(key, value)],
    );
  }
}
