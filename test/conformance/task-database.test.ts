import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emptyTask, MemoryDatabase, SqliteDatabase } from '@ipyparallel-js/hub/internal';
import type { Dict } from '@ipyparallel-js/protocol';
import { parseQuery } from '@ipyparallel-js/protocol/internal';
import { createLogger, stderrSink } from '@ipyparallel-js/wire';
import { expect, test } from 'vitest';
import { describeTaskDatabase } from '../support/suites/task-database.js';

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

test('SQLite accepts queries of the maximum depth and width of the language', async () => {
  const location = mkdtempSync(join(tmpdir(), 'ippjs-sqlite-'));
  const db = await SqliteDatabase.open({ location }, createLogger('warn', stderrSink('sqlite')));
  try {
    await db.write([{ op: 'add', task: { ...emptyTask('a'), submitted: '2026-01-01T00:00:00.000000Z' } }]);
    for (const depth of [1, 2, 7, 19, 38]) {
      for (const width of [1, 12, 480]) {
        for (const kind of ['$or', '$nor', '$and']) {
          let query: Dict = { submitted: { $gte: new Date(0) } };
          // The limit counts a branch and its content.
          const siblings = Array.from({ length: Math.min(width, Math.floor(480 / depth)) }, (_, n) =>
            kind === '$and' ? { queue: { $ne: `q${n}` } } : { queue: `q${n}` },
          );
          for (let i = 0; i < depth; i++) query = { [kind]: [...siblings, query] };
          const matches = kind !== '$nor' || depth % 2 === 0;
          expect(await db.count(parseQuery(query)), `${kind} ${depth} ${width}`).toBe(matches ? 1 : 0);
        }
      }
    }
  } finally {
    await db.close();
    rmSync(location, { recursive: true });
  }
});
