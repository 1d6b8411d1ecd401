import { createRequire } from 'node:module';

interface Driver {
  new (
    file: string,
  ): { prepare(sql: string): { get(...values: readonly unknown[]): unknown }; close(): void };
}

/** One record by id from a file, by the driver alone: the limit of any store that uses it. */
export interface BareSqlite extends Disposable {
  read(id: string): unknown;
}

export function openBareSqlite(file: string): BareSqlite {
  const require = createRequire(new URL('../packages/hub/package.json', import.meta.url));
  const connection = new (require('libsql') as Driver)(file);
  const statement = connection.prepare('SELECT * FROM "ipython-tasks" WHERE msg_id = ?');
  return {
    read: (id) => statement.get(id),
    [Symbol.dispose]: () => connection.close(),
  };
}
