import type { Connection, Statement } from './driver.js';

/** Statements kept of each form; queries have no end of texts. */
const KEPT = 100;

/** The statements of one connection, prepared once; those not used for long go. */
export class Statements {
  readonly #run: PreparedTexts;
  readonly #rows: PreparedTexts;
  readonly #column: PreparedTexts;

  constructor(connection: Connection) {
    this.#run = new PreparedTexts((sql) => connection.prepare(sql));
    this.#rows = new PreparedTexts((sql) => connection.prepare(sql).raw());
    this.#column = new PreparedTexts((sql) => connection.prepare(sql).pluck());
  }

  /** Runs a statement that gives no rows; how many it changed. */
  run(sql: string, values: readonly unknown[] = []): number {
    return this.#run.get(sql).run(values).changes;
  }

  /** Rows as lists. */
  rows(sql: string, values: readonly unknown[] = []): unknown[][] {
    return this.#rows.get(sql).all(values) as unknown[][];
  }

  /** The first row, as a list; undefined where there is none. */
  row(sql: string, values: readonly unknown[] = []): unknown[] | undefined {
    return this.#rows.get(sql).get(values) as unknown[] | undefined;
  }

  /** The first column of each row. */
  column(sql: string, values: readonly unknown[] = []): unknown[] {
    return this.#column.get(sql).all(values);
  }
}

// Texts are long: whoever asks often keeps the same one, whose hash is known then. Two generations, so that a hit costs
// one look and moves nothing.
class PreparedTexts {
  readonly #prepare: (sql: string) => Statement;
  #young = new Map<string, Statement>();
  #old = new Map<string, Statement>();

  constructor(prepare: (sql: string) => Statement) {
    this.#prepare = prepare;
  }

  get(sql: string): Statement {
    const known = this.#young.get(sql);
    if (known !== undefined) return known;
    const statement = this.#old.get(sql) ?? this.#prepare(sql);
    this.#young.set(sql, statement);
    if (this.#young.size > KEPT / 2) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    return statement;
  }
}
