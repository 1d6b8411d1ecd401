import type { Connection, Statement } from './driver.js';

/** Maximum number of cached statements per form, because queries produce any number of different SQL texts. */
const CACHE_SIZE = 100;

/** Prepared statements of one connection, cached by their SQL text. The least recently used ones are dropped. */
export class Statements {
  readonly #runStatements: StatementCache;
  readonly #rowStatements: StatementCache;
  readonly #columnStatements: StatementCache;

  constructor(connection: Connection) {
    this.#runStatements = new StatementCache((sql) => connection.prepare(sql));
    this.#rowStatements = new StatementCache((sql) => connection.prepare(sql).raw());
    this.#columnStatements = new StatementCache((sql) => connection.prepare(sql).pluck());
  }

  /** Runs a statement that returns no rows; returns the number of changed rows. */
  run(sql: string, values: readonly unknown[] = []): number {
    return this.#runStatements.get(sql).run(values).changes;
  }

  /** Returns all rows as lists. */
  selectRows(sql: string, values: readonly unknown[] = []): unknown[][] {
    return this.#rowStatements.get(sql).all(values) as unknown[][];
  }

  /** Returns the first row as a list, or undefined if there is none. */
  selectRow(sql: string, values: readonly unknown[] = []): unknown[] | undefined {
    return this.#rowStatements.get(sql).get(values) as unknown[] | undefined;
  }

  /** Returns the first column of each row. */
  selectColumn(sql: string, values: readonly unknown[] = []): unknown[] {
    return this.#columnStatements.get(sql).all(values);
  }
}

// SQL texts are long, so frequent callers should pass the same string object, whose hash V8 caches. The cache has two
// generations so that a hit costs one lookup and moves no entry.
class StatementCache {
  readonly #prepare: (sql: string) => Statement;
  #recentStatements = new Map<string, Statement>();
  #olderStatements = new Map<string, Statement>();

  constructor(prepare: (sql: string) => Statement) {
    this.#prepare = prepare;
  }

  get(sql: string): Statement {
    const recent = this.#recentStatements.get(sql);
    if (recent !== undefined) return recent;
    const statement = this.#olderStatements.get(sql) ?? this.#prepare(sql);
    this.#recentStatements.set(sql, statement);
    if (this.#recentStatements.size > CACHE_SIZE / 2) {
      this.#olderStatements = this.#recentStatements;
      this.#recentStatements = new Map();
    }
    return statement;
  }
}
