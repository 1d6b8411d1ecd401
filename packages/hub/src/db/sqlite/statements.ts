import type { Connection, Statement } from './driver.js';

/** Statements kept; queries have no end of texts. */
const KEPT = 100;

/** The statements of one connection, prepared once; the least lately used go. */
export class Statements {
  readonly #connection: Connection;
  readonly #kept = new Map<string, Statement>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Runs a statement that gives no rows; how many it changed. */
  run(sql: string, values: readonly unknown[] = []): number {
    return this.#get('run', sql).run(...values).changes;
  }

  /** Rows as lists. */
  rows(sql: string, values: readonly unknown[] = []): unknown[][] {
    return this.#get('rows', sql).all(...values) as unknown[][];
  }

  /** The first column of each row. */
  column(sql: string, values: readonly unknown[] = []): unknown[] {
    return this.#get('column', sql).all(...values);
  }

  #get(form: 'run' | 'rows' | 'column', sql: string): Statement {
    const key = `${form} ${sql}`;
    let statement = this.#kept.get(key);
    if (statement === undefined) {
      statement = this.#connection.prepare(sql);
      if (form === 'rows') statement = statement.raw();
      if (form === 'column') statement = statement.pluck();
    }
    this.#kept.delete(key);
    this.#kept.set(key, statement);
    if (this.#kept.size > KEPT) {
      for (const oldest of this.#kept.keys()) {
        this.#kept.delete(oldest);
        break;
      }
    }
    return statement;
  }
}
