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

const OUTPUTS = ['stdout', 'stderr'] as const;

/** How one kind of update is written. */
interface UpdatePlan {
  /** The columns that it sets. */
  readonly keys: readonly TaskKey[];
  /** Those that are in the table beside. */
  readonly besides: readonly TaskKey[];
  /** What it appends to. */
  readonly outputs: readonly (typeof OUTPUTS)[number][];
  readonly sql: string;
}

/** Kinds of updates remembered; real ones are a dozen. */
const MOST_PLANS = 256;

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
  readonly #insert: string;
  readonly #plans = new Map<string, UpdatePlan>();

  constructor(connection: Connection, layout: Layout, onBadChange: (msgId: string, error: unknown) => void) {
    this.#connection = connection;
    this.#statements = new Statements(connection);
    this.#layout = layout;
    this.#onBadChange = onBadChange;
    const { table, columns } = layout;
    const names = columns.map(quoted);
    // Where output made a row before, what only that has is kept.
    const kept = names.map((name) => `${name} = coalesce(nullif(excluded.${name}, ''), ${table}.${name})`);
    this.#insert = `INSERT INTO ${table} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})
      ON CONFLICT (msg_id) DO UPDATE SET ${kept.join(', ')}`;
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
    const { columns, sideColumns } = this.#layout;
    this.#statements.run(
      this.#insert,
      columns.map((key) => encodeCell(key, task[key])),
    );
    for (const key of sideColumns) {
      if (task[key] !== null) this.#setBeside(task.msg_id, key, task[key]);
    }
  }

  #update(change: Update): void {
    const { msgId, set = {}, append, orAdd } = change;
    const fields = set as { readonly [K in TaskKey]?: unknown };
    const { keys, besides, outputs, sql } = this.#planOf(fields, append);
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
    for (const key of besides) this.#setBeside(msgId, key, fields[key]);
  }

  // Updates are of a few kinds, by the fields that they have: the text of each is made once.
  #planOf(fields: object, append: Update['append']): UpdatePlan {
    const outputs = OUTPUTS.filter((name) => append?.[name] !== undefined && append[name] !== '');
    const kind = `${Object.keys(fields).join()} ${outputs.join()}`;
    const known = this.#plans.get(kind);
    if (known !== undefined) return known;
    const { table, columns, sideColumns } = this.#layout;
    const keys = columns.filter((key) => key !== 'msg_id' && Object.hasOwn(fields, key));
    const sets = keys.map((key) => `${quoted(key)} = ?`);
    for (const name of outputs) {
      sets.push(
        `${name} = CASE WHEN coalesce(octet_length(${name}), 0) <= ? THEN coalesce(${name}, '') || ? ELSE ${name} END`,
      );
    }
    if (sets.length === 0) sets.push('msg_id = msg_id');
    const plan: UpdatePlan = {
      keys,
      besides: sideColumns.filter((key) => Object.hasOwn(fields, key)),
      outputs,
      sql: `UPDATE ${table} SET ${sets.join(', ')} WHERE msg_id = ?`,
    };
    if (this.#plans.size >= MOST_PLANS) this.#plans.clear();
    this.#plans.set(kind, plan);
    return plan;
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
