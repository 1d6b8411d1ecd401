// The Task Database beside its limits and beside the Python original, on copies of the same file: `npm run bench:database`.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Aim, aim, printAims } from './aims.js';
import { submissionDelays } from './delays.js';
import { startOurPair } from './hubs.js';
import { measureInserts } from './inserts.js';
import { quantile } from './measure.js';
import { measureQueries } from './queries.js';
import { median, ms, printMachine, printMarkdown, times } from './report.js';
import { type TasksFile, tasksFile } from './tasks-file.js';

const usage = `npm run bench:database -- [options]

  --records N,N,…      sizes of the Task Database; 10000,100000
  --rounds N           how often everything is measured in turn; 3
  --python-up-to N     the largest size that the Python pair is measured at; 100000, where it takes minutes
  --only PART,…        queries, inserts, delays; all of them
  --directory DIR      where the files are made; a new temporary directory
  --keep               leave the files there: the next run finds them
  --help               this text

The defaults take about four minutes on two free cores and twice that on busy ones, one of them for the one message in
which Python's hub sends 100,000 records. A million records take a quarter of an hour more. The last table has the aims.`;

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
const sizes = values.records.split(',').map((size) => wholeNumber('records', size));
const rounds = wholeNumber('rounds', values.rounds);
const pythonUpTo = wholeNumber('python-up-to', values['python-up-to']);
const parts = new Set(values.only.split(','));

const directory = values.directory ?? (await mkdtemp(join(tmpdir(), 'ipp-bench-')));
try {
  printMachine(['Python 3.11 with ipyparallel 9 for the original']);
  const files: TasksFile[] = [];
  for (const size of sizes) files.push(await tasksFile(directory, size));
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
    `One load-balanced task that does nothing, from submission to result, our hub with ${file.records.toLocaleString('en')} records`,
    ['beside it', 'median', 'p99', 'p99 to that of no query'],
    delays.map((delay) => [
      delay.name,
      ms(median(delay)),
      ms(quantile(delay, 0.99)),
      times(quantile(delay, 0.99) / quantile(alone, 0.99)),
    ]),
  );
  return [
    aim(
      'a task beside the biggest query: 99th percentile of its delay to that beside two processes that only compute',
      quantile(streaming, 0.99) / quantile(computing, 0.99),
      { most: 1, unit: '×' },
      `, ${ms(quantile(streaming, 0.99))}; ${ms(quantile(alone, 0.99))} beside nothing`,
    ),
  ];
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) {
    console.error(`--${name}: ${text} is no whole number above 0\n\n${usage}`);
    process.exit(2);
  }
  return value;
}
