import type { TaskKey } from '@ipyparallel-js/protocol';
import { emptyTask, type StoredTask, type TaskChange } from '../task-database.js';
import { encodeCell } from './cells.js';
import { type Connection, sqliteCode } from './driver.js';
import { type Layout, quoteName } from './layout.js';
import { Statements } from './statements.js';

type Update = Extract<TaskChange, { op: 'update' }>;

/** Longest output that is stored, in bytes; JavaScript limits strings to about 2^29 characters. */
const MAX_OUTPUT = 1 << 28;

/** Time after which a transaction accepts no further change, in ms. */
const TRANSACTION_TIME = 5;

const OUTPUTS = ['stdout', 'stderr'] as const;

/** The statement for one kind of update. */
interface UpdatePlan {
  /** The columns of the main table that it sets. */
  readonly keys: readonly TaskKey[];
  /** The columns of the side table that it sets. */
  readonly sideKeys: readonly TaskKey[];
  /** The outputs to which it appends. */
  readonly outputs: readonly (typeof OUTPUTS)[number][];
  readonly sql: string;
}

/** Maximum number of cached kinds of updates. A hub uses about a dozen. */
const MAX_PLANS = 256;

/** A row that was removed. */
export interface RemovedRow {
  readonly msgId: string;
  readonly bytes: number;
}

/** Writes changes to the file. Each call is one transaction, which is committed when the call returns. */
export class TaskWriter {
  readonly #connection: Connection;
  readonly #layout: Layout;
  readonly #onInvalidChange: (msgId: string, error: unknown) => void;
  readonly #statements: Statements;
  readonly #insertSql: string;
  readonly #plans = new Map<string, UpdatePlan>();

  constructor(
    connection: Connection,
    layout: Layout,
    onInvalidChange: (msgId: string, error: unknown) => void,
  ) {
    this.#connection = connection;
    this.#statements = new Statements(connection);
    this.#layout = layout;
    this.#onInvalidChange = onInvalidChange;
    const { table, columns } = layout;
    const names = columns.map(quoteName);
    // If output has already created the row, keep its values where the added task has none.
    const assignments = names.map(
      (name) => `${name} = coalesce(nullif(excluded.${name}, ''), ${table}.${name})`,
    );
    this.#insertSql = `INSERT INTO ${table} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})
      ON CONFLICT (msg_id) DO UPDATE SET ${assignments.join(', ')}`;
  }

  /**
   * Applies changes from index `startIndex` on, for about 5 ms, in one transaction.
   * @returns the number of applied changes
   * @throws the driver's error when the file cannot be written now; then no change is applied
   */
  apply(changes: readonly TaskChange[], startIndex: number): number {
    const deadline = performance.now() + TRANSACTION_TIME;
    let index = startIndex;
    this.transaction(() => {
      do {
        const change = changes[index];
        if (change === undefined) return;
        this.#applyChange(change);
        index++;
      } while (performance.now() < deadline);
    });
    return index - startIndex;
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
        // SQLite has already rolled back after some errors.
      }
      throw error;
    }
  }

  /** Removes the given rows, except those that no longer meet a condition on the row `t`. */
  remove(
    column: 'rowid' | 'msg_id',
    values: readonly (number | string)[],
    condition: { readonly sql: string; readonly params: readonly unknown[] },
  ): RemovedRow[] {
    const { table, sideTable } = this.#layout;
    const list = JSON.stringify(values);
    return this.transaction(() => {
      const rows = this.#statements.selectRows(
        `DELETE FROM ${table} AS t WHERE t.${column} IN (SELECT value FROM json_each(?)) AND (${condition.sql})
          RETURNING CAST(msg_id AS BLOB), ${this.rowBytesSql()}`,
        [list, ...condition.params],
      ) as [ArrayBuffer | null, number][];
      const removed = rows.map(([id, bytes]) => ({
        msgId: id === null ? '' : Buffer.from(id).toString('utf8'),
        bytes,
      }));
      const ids = JSON.stringify(removed.map(({ msgId }) => msgId));
      this.#statements.run(`DELETE FROM ${sideTable} WHERE msg_id IN (SELECT value FROM json_each(?))`, [
        ids,
      ]);
      return removed;
    });
  }

  /** Returns SQL for the size of the cells of a row in bytes. */
  rowBytesSql(): string {
    return this.#layout.columns.map((key) => `coalesce(octet_length(${quoteName(key)}), 0)`).join(' + ');
  }

  #applyChange(change: TaskChange): void {
    try {
      if (change.op === 'add') this.#add(change.task);
      else this.#update(change);
    } catch (error) {
      // Skip a change that can never be written, so that it does not block the others. Retry after any other error.
      const code = sqliteCode(error);
      const isPermanent = code === undefined || /^SQLITE_(TOOBIG|MISMATCH|CONSTRAINT|RANGE)/.test(code);
      if (!isPermanent) throw error;
      this.#onInvalidChange(change.op === 'add' ? change.task.msg_id : change.msgId, error);
    }
  }

  #add(task: StoredTask): void {
    const { columns, sideColumns } = this.#layout;
    this.#statements.run(
      this.#insertSql,
      columns.map((key) => encodeCell(key, task[key])),
    );
    for (const key of sideColumns) {
      if (task[key] !== null) this.#setSideCell(task.msg_id, key, task[key]);
    }
  }

  #update(change: Update): void {
    const { msgId, set = {}, append, orAdd } = change;
    const fields = set as { readonly [K in TaskKey]?: unknown };
    const { keys, sideKeys, outputs, sql } = this.#planOf(fields, append);
    const values: unknown[] = keys.map((key) => encodeCell(key, fields[key]));
    for (const name of outputs) {
      const text = append?.[name] ?? '';
      values.push(MAX_OUTPUT - Buffer.byteLength(text), text);
    }
    values.push(msgId);
    let changes = this.#statements.run(sql, values);
    if (changes === 0 && orAdd === true) {
      this.#add(emptyTask(msgId));
      changes = this.#statements.run(sql, values);
    }
    if (changes === 0) return;
    for (const key of sideKeys) this.#setSideCell(msgId, key, fields[key]);
  }

  // Updates with the same fields share one SQL text, which is built once.
  #planOf(fields: object, append: Update['append']): UpdatePlan {
    const outputs = OUTPUTS.filter((name) => append?.[name] !== undefined && append[name] !== '');
    const kind = `${Object.keys(fields).join()} ${outputs.join()}`;
    const cached = this.#plans.get(kind);
    if (cached !== undefined) return cached;
    const { table, columns, sideColumns } = this.#layout;
    const keys = columns.filter((key) => key !== 'msg_id' && Object.hasOwn(fields, key));
    const sets = keys.map((key) => `${quoteName(key)} = ?`);
    for (const name of outputs) {
      sets.push(
        `${name} = CASE WHEN coalesce(octet_length(${name}), 0) <= ? THEN coalesce(${name}, '') || ? ELSE ${name} END`,
      );
    }
    if (sets.length === 0) sets.push('msg_id = msg_id');
    const plan: UpdatePlan = {
      keys,
      sideKeys: sideColumns.filter((key) => Object.hasOwn(fields, key)),
      outputs,
      sql: `UPDATE ${table} SET ${sets.join(', ')} WHERE msg_id = ?`,
    };
    if (this.#plans.size >= MAX_PLANS) this.#plans.clear();
    this.#plans.set(kind, plan);
    return plan;
  }

  #setSideCell(msgId: string, key: TaskKey, value: unknown): void {
    const name = quoteName(key);
    this.#statements.run(
      `INSERT INTO ${this.#layout.sideTable} (msg_id, ${name}) VALUES (?, ?)
        ON CONFLICT (msg_id) DO UPDATE SET ${name} = excluded.${name}`,
      [msgId, encodeCell(key, value)],
    );
  }
}
