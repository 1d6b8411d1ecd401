// Compares the Task Database with its lower bounds and with Python's, on copies of the same file: `npm run bench:database`.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Aim, aim, printAims } from '../lib/aims.js';
import { median, ms, printMachine, printMarkdown, times } from '../lib/report.js';
import { quantile } from '../lib/samples.js';
import { createTasksFile, type TasksFile } from '../lib/tasks-file.js';
import { startOurPair } from '../peers/controllers.js';
import { measureInserts } from './database/inserts.js';
import { measureQueries } from './database/queries.js';
import { submissionDelays } from './database/submission-delays.js';

const usage = `npm run bench:database -- [options]

  --records N,N,…      sizes of the Task Database; 10000,100000
  --rounds N           number of rounds; each round measures everything once; 3
  --python-up-to N     largest size for the Python pair; 100000, which takes minutes
  --only PART,…        queries, inserts, delays; all by default
  --directory DIR      directory for the files; a new temporary directory by default
  --keep               keep the files, so that the next run reuses them
  --help               print this text

The defaults take about four minutes on two idle cores and twice as long on busy ones. One of these minutes is for the
single message in which Python's hub sends 100,000 records. A million records take 15 minutes more. The last table lists
the aims.`;

const { values } = parseArgs({
  options: {
    records: { type: 'string', default: '10000,100000' },
    rounds: { type: 'string', default: '3' },
    'python-up-to': { type: 'string', default: '100000' },
    only: { type: 'string', default: 'queries,inserts,delays' },
    directory: { type: 'string' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(usage);
  process.exit(0);
}
const sizes = values.records.split(',').map((size) => positiveInteger('records', size));
const rounds = positiveInteger('rounds', values.rounds);
const pythonUpTo = positiveInteger('python-up-to', values['python-up-to']);
const parts = new Set(values.only.split(','));

const directory = values.directory ?? (await mkdtemp(join(tmpdir(), 'ipp-bench-')));
try {
  printMachine(['Python 3.11, ipyparallel 9']);
  const files: TasksFile[] = [];
  for (const size of sizes) files.push(await createTasksFile(directory, size));
  const aims: Aim[] = [];
  if (parts.has('queries')) aims.push(...(await measureQueries(files, { directory, rounds, pythonUpTo })));
  const largest = files.filter(({ records }) => records <= 100_000).at(-1) ?? files[0];
  if (largest !== undefined && parts.has('inserts'))
    aims.push(...(await measureInserts(largest, { directory, rounds })));
  if (largest !== undefined && parts.has('delays')) aims.push(...(await measureDelays(largest)));
  printAims(aims);
} finally {
  if (values.keep) console.log(`\nThe files are in ${directory}.`);
  else await rm(directory, { recursive: true, force: true });
}

async function measureDelays(file: TasksFile): Promise<Aim[]> {
  await using ours = await startOurPair({ directory, tasks: file.path, engines: 1 });
  await ours.rc.waitForEngines(1, { timeout: 30_000 });
  const delays = await submissionDelays(ours.rc, ours.connectionFile, rounds, 300);
  const [alone, computing, streaming] = delays;
  if (alone === undefined || computing === undefined || streaming === undefined) return [];
  printMarkdown(
    `One empty load-balanced task, from submission to result, our hub with ${file.records.toLocaleString('en')} records`,
    ['concurrent load', 'median', 'p99', 'p99 ÷ p99 without load'],
    delays.map((delay) => [
      delay.name,
      ms(median(delay)),
      ms(quantile(delay, 0.99)),
      times(quantile(delay, 0.99) / quantile(alone, 0.99)),
    ]),
  );
  return [
    aim(
      'task delay (p99) during the largest query ÷ during two compute-only processes',
      quantile(streaming, 0.99) / quantile(computing, 0.99),
      { most: 1, unit: '×' },
      `, ${ms(quantile(streaming, 0.99))}; ${ms(quantile(alone, 0.99))} without load`,
    ),
  ];
}

function positiveInteger(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) {
    console.error(`--${name} must be an integer >= 1, got ${text}\n\n${usage}`);
    process.exit(2);
  }
  return value;
}
