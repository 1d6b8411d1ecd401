// Limits of the stores that need no server, and the space that a removal frees.
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MemoryDatabase, SqliteDatabase } from '@ipyparallel-js/hub/internal';
import { parseQuery } from '@ipyparallel-js/protocol/internal';
import { createLogger, stderrSink } from '@ipyparallel-js/wire';
import { afterAll, describe, expect, test } from 'vitest';
import { describeRetention, ended, HOUR } from '../support/suites/retention.js';

const log = createLogger('error', stderrSink('retention'));

describeRetention('memory', async (limits) => new MemoryDatabase(limits));

describe('SQLite', () => {
  const directories: string[] = [];
  const newDirectory = (): string => {
    const location = mkdtempSync(join(tmpdir(), 'ippjs-retention-'));
    directories.push(location);
    return location;
  };
  afterAll(() => {
    for (const directory of directories) rmSync(directory, { recursive: true });
  });

  describeRetention('SQLite', (limits) => SqliteDatabase.open({ location: newDirectory(), ...limits }, log));

  test('a removal returns space to the file system', async () => {
    const location = newDirectory();
    const db = await SqliteDatabase.open({ location }, log);
    const tasks = Array.from({ length: 60 }, (_, i) =>
      ended(`t${i}`, HOUR, { result_buffers: [Buffer.alloc(500_000, i)] }),
    );
    for (const task of tasks) await db.write([{ op: 'add', task }]);
    await db.close();
    const fullSize = statSync(join(location, 'tasks.db')).size;
    expect(fullSize).toBeGreaterThan(30_000_000);
    const reopened = await SqliteDatabase.open({ location }, log);
    await reopened.remove({ query: parseQuery({}) });
    await reopened.close();
    expect(statSync(join(location, 'tasks.db')).size).toBeLessThan(5_000_000);
  });
});
