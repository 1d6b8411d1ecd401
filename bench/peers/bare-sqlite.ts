import { createRequire } from 'node:module';

interface Driver {
  new (
    file: string,
  ): { prepare(sql: string): { get(...values: readonly unknown[]): unknown }; close(): void };
}

/** Reads one record by id with the driver alone: the lower bound of any store that uses this driver. */
export interface BareSqlite extends Disposable {
  read(id: string): unknown;
}

export function openBareSqlite(file: string): BareSqlite {
  const require = createRequire(new URL('../../packages/hub/package.json', import.meta.url));
  const connection = new (require('libsql') as Driver)(file);
  const statement = connection.prepare('SELECT * FROM "ipython-tasks" WHERE msg_id = ?');
  return {
    read: (id) => statement.get(id),
    [Symbol.dispose]: () => connection.close(),
  };
}
