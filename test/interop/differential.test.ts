import { describe, it } from 'vitest';
import { questionsOfRun, runDifferential, seedOfRun } from '../support/generators/differential/run.js';
import { StockSubject } from '../support/generators/differential/stock-subject.js';
import { describeStock } from '../support/python/describe-stock.js';

const questions = questionsOfRun(400);

// With more than 500 records, our client queries a stock hub in slices.
const sets = [
  { records: 60, questions: 150 },
  { records: 5, questions: 40 },
  { records: 620, questions: 10 },
  { records: 60, questions: 400 },
  { records: 30, questions: 400 },
];

describe('generated queries over generated records', () => {
  for (const version of ['7.1', '9'] as const) {
    for (const db of ['dictdb', 'sqlitedb'] as const) {
      describeStock(version, `on ipyparallel ${version} with ${db}`, () => {
        it(
          'select the records of the reference',
          async () => {
            await using subject = await StockSubject.start(version, db);
            await runDifferential([subject], { questions, sets }, seedOfRun());
          },
          60_000 + questions * 200,
        );
      });
    }
  }
});
