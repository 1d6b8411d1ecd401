import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MemoryDatabase, SqliteDatabase } from '@ipyparallel-js/hub/internal';
import { createLogger, stderrSink } from '@ipyparallel-js/wire';
import { describeTaskDatabase } from './task-database.js';

describeTaskDatabase('memory', async () => {
  const db = new MemoryDatabase({ recordLimit: 100_000 });
  return { db, dispose: () => db.close() };
});

describeTaskDatabase('SQLite', async () => {
  const location = mkdtempSync(join(tmpdir(), 'ippjs-sqlite-'));
  const db = await SqliteDatabase.open({ location }, createLogger('warn', stderrSink('sqlite')));
  return {
    db,
    dispose: async () => {
      await db.close();
      rmSync(location, { recursive: true });
    },
  };
});
