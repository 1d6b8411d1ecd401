import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MemoryDatabase, SqliteDatabase } from '@ipyparallel-js/hub/internal';
import { createLogger, stderrSink } from '@ipyparallel-js/wire';
import { afterAll, expect, it } from 'vitest';
import { EmbeddedSubject } from '../support/differential/embedded-subject.js';
import { WireSubject } from '../support/differential/reference.js';
import { questionsOfRun, runDifferential, seedOfRun } from '../support/differential/run.js';
import { StoreSubject } from '../support/differential/store-subject.js';

const questions = questionsOfRun(3_000);
const sets = [
  { records: 100, questions: 400 },
  { records: 5, questions: 50 },
  { records: 700, questions: 50 },
];
const location = mkdtempSync(join(tmpdir(), 'ippjs-differential-'));
afterAll(() => rmSync(location, { recursive: true }));

it(
  'every store gives what the reference gives',
  async () => {
    await using memory = new StoreSubject('memory', async () => new MemoryDatabase({ recordLimit: 10_000 }));
    await using sqlite = new StoreSubject('sqlite', () =>
      SqliteDatabase.open({ location }, createLogger('warn', stderrSink('sqlite'))),
    );
    await using embedded = new EmbeddedSubject();
    const subjects = [new WireSubject(), memory, sqlite, embedded];
    await runDifferential(subjects, { questions, sets }, seedOfRun());
    expect(subjects).toHaveLength(4);
  },
  60_000 + questions * 50,
);
