import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MemoryDatabase, SqliteDatabase } from '@ipyparallel-js/hub/internal';
import { createLogger, stderrSink } from '@ipyparallel-js/wire';
import { describe, it } from 'vitest';
import { EmbeddedSubject } from '../support/generators/differential/embedded-subject.js';
import { NaiveSubject, WireSubject } from '../support/generators/differential/reference.js';
import { questionsOfRun, runDifferential, seedOfRun } from '../support/generators/differential/run.js';
import { StoreSubject } from '../support/generators/differential/store-subject.js';

const log = createLogger('warn', stderrSink('differential'));

describe('generated queries over generated records select the records of the reference', () => {
  const questions = questionsOfRun(1_500);
  const sets = [
    { records: 100, questions: 400 },
    { records: 5, questions: 50 },
    { records: 700, questions: 50 },
    { records: 60, questions: 1_000 },
  ];

  it(
    'in memory, in SQLite and on our controller',
    async () => {
      const location = mkdtempSync(join(tmpdir(), 'ippjs-differential-'));
      try {
        await using memory = new StoreSubject(
          'memory',
          async () => new MemoryDatabase({ recordLimit: 10_000 }),
        );
        await using sqlite = new StoreSubject('SQLite', () => SqliteDatabase.open({ location }, log));
        await using embedded = new EmbeddedSubject();
        const subjects = [new NaiveSubject(), new WireSubject(), memory, sqlite, embedded];
        await runDifferential(subjects, { questions, sets }, seedOfRun());
      } finally {
        rmSync(location, { recursive: true });
      }
    },
    60_000 + questions * 60,
  );
});
