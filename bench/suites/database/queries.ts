import { Session } from '@ipyparallel-js/protocol';
import { Closing } from '../../../test/support/closing.js';
import { type Aim, aim } from '../../lib/aims.js';
import { median, megabytes, ms, printMarkdown, times } from '../../lib/report.js';
import { joinRounds, type Samples, sample } from '../../lib/samples.js';
import type { TasksFile } from '../../lib/tasks-file.js';
import { openBareSqlite } from '../../peers/bare-sqlite.js';
import {
  type OurPair,
  type PythonPair,
  peakMemory,
  startOurPair,
  startPythonPair,
} from '../../peers/controllers.js';
import { startEcho } from '../../peers/echo.js';
import type { PythonAction } from '../../peers/python-client.js';

export interface QueriesOptions {
  readonly directory: string;
  readonly rounds: number;
  /** The largest file for the Python pair. */
  readonly pythonUpTo: number;
}

/** The two pairs on copies of one file. */
interface Comparison {
  readonly file: TasksFile;
  readonly ours: OurPair;
  readonly python: PythonPair | undefined;
}

const KEYS = ['msg_id', 'started', 'completed', 'engine_uuid'] as const;

/** Queries per round: enough for a median. The Python pair gets fewer, since its queries are slow. */
const OUR_QUERIES = 200;
/** Queries by id per round, for our client and the lower bounds. As many run before, so that JavaScript is compiled. */
const QUERIES_BY_ID = 1500;
/** The first queries by id, before JavaScript is compiled, which the table lists separately. */
const FIRST_QUERIES = 100;
const PYTHON_QUERIES = 30;
/** Files with more records than this are streamed only once. */
const MAX_REPEATED_STREAM = 100_000;

/**
 * Measures and prints all queries. Sizes and pairs alternate within each round, so other load on the machine affects all
 * measurements alike.
 */
export async function measureQueries(files: readonly TasksFile[], options: QueriesOptions): Promise<Aim[]> {
  const { directory, rounds } = options;
  await using closing = new Closing();
  const comparisons: Comparison[] = [];
  for (const file of files) {
    const ours = closing.use(await startOurPair({ directory, tasks: file.path }));
    const python =
      file.records <= options.pythonUpTo
        ? closing.use(await startPythonPair({ directory, tasks: file.path }))
        : undefined;
    comparisons.push({ file, ours, python });
  }
  printMarkdown(
    "Start of our controller on a file of Python's, including the creation of indexes",
    ['records', 'ready after'],
    comparisons.map(({ file, ours }) => [sizeOf(file), ms(ours.startMs)]),
  );
  return [
    ...(await measureOneById(comparisons, rounds)),
    ...(await measureLastHour(comparisons, rounds)),
    ...(await measureEverything(comparisons, rounds)),
  ];
}

async function measureOneById(comparisons: readonly Comparison[], rounds: number): Promise<Aim[]> {
  await using echo = await startEcho();
  const session = new Session({ key: 'a key', now: () => new Date() });
  const measured = await measureInRounds(comparisons, rounds, async ({ file, ours, python }, round) => {
    using bare = openBareSqlite(file.path);
    const { oneId } = file;
    const query = () => Promise.resolve(ours.rc.dbQuery({ msg_id: oneId }));
    const first = await sample('first', round === 0 ? FIRST_QUERIES : 0, query, 0);
    const request = () =>
      session.encode(session.message('db_request', { query: { msg_id: oneId }, keys: null }));
    return {
      first,
      echo: await sample('echo', QUERIES_BY_ID, () => echo.roundTrip(request()), QUERIES_BY_ID),
      read: await sample('read', QUERIES_BY_ID, async () => bare.read(oneId), QUERIES_BY_ID),
      ours: await sample('ours', QUERIES_BY_ID, query, QUERIES_BY_ID),
      python: await timePython(python, { action: 'db_query', args: [{ msg_id: oneId }] }, PYTHON_QUERIES),
    };
  });
  printMarkdown(
    'One record by id, all fields',
    [
      ...['records', 'bare echo', 'bare read', 'ours', `our first ${FIRST_QUERIES}`, 'ours ÷ (echo + read)'],
      ...['Python pair', 'Python ÷ ours'],
    ],
    measured.map(({ comparison, first, echo, read, ours, python }) => [
      sizeOf(comparison.file),
      ...[echo, read, ours, first].map((samples) => ms(median(samples))),
      times(median(ours) / (median(echo) + median(read))),
      ms(median(python)),
      times(median(python) / median(ours)),
    ]),
  );
  const last = measured.at(-1);
  if (last === undefined) return [];
  return [
    aim(
      `one record by id, ${sizeOf(last.comparison.file)} records: ours ÷ (bare echo + bare read)`,
      median(last.ours) / (median(last.echo) + median(last.read)),
      { most: 2.5, unit: '×' },
      `, ${ms(median(last.ours))}`,
    ),
  ];
}

async function measureLastHour(comparisons: readonly Comparison[], rounds: number): Promise<Aim[]> {
  const measured = await measureInRounds(comparisons, rounds, async ({ file, ours, python }) => {
    const query = { started: { $gte: file.lastHour }, client_uuid: file.client };
    const runQuery = async (): Promise<void> => {
      const { length } = await ours.rc.dbQuery(query, KEYS);
      if (length !== file.matches)
        throw new Error(`our hub returned ${length} tasks instead of ${file.matches}`);
    };
    return {
      ours: await sample('ours', OUR_QUERIES / 2, runQuery),
      python: await timePython(python, { action: 'db_query', args: [query, KEYS] }, 5, file.matches),
    };
  });
  const first = measured[0];
  printMarkdown(
    `The ${first?.comparison.file.matches} tasks of one client of the last hour, four fields`,
    ['records', 'ours', 'growth', 'Python pair', 'growth', 'Python ÷ ours'],
    measured.map(({ comparison, ours, python }) => [
      sizeOf(comparison.file),
      ms(median(ours)),
      times(median(ours) / median(first?.ours ?? ours)),
      ms(median(python)),
      times(median(python) / median(first?.python ?? python)),
      times(median(python) / median(ours)),
    ]),
  );
  const last = measured.at(-1);
  const compared = largestWithPython(measured);
  if (first === undefined || last === undefined) return [];
  return [
    aim(
      `one client's last hour, ${sizeOf(compared.comparison.file)} records: Python ÷ ours`,
      median(compared.python) / median(compared.ours),
      { least: 20, unit: '×' },
    ),
    aim(
      `the same: growth from ${sizeOf(first.comparison.file)} to ${sizeOf(last.comparison.file)}`,
      median(last.ours) / median(first.ours),
      { most: 1.3, unit: '×' },
    ),
  ];
}

async function measureEverything(comparisons: readonly Comparison[], rounds: number): Promise<Aim[]> {
  const measured = await measureInRounds(comparisons, Math.min(rounds, 3), async ({ file, ours }, round) => {
    if (round > 0 && file.records > MAX_REPEATED_STREAM) return { ours: { name: 'ours', ms: [] } };
    const stream = async (): Promise<void> => {
      let records = 0;
      for await (const _record of ours.rc.dbQuery({}).stream()) records++;
      if (records !== file.records)
        throw new Error(`our hub returned ${records} records instead of ${file.records}`);
    };
    return { ours: await sample('ours', 1, stream, 0) };
  });
  const rows: string[][] = [];
  const aims: Aim[] = [];
  for (const { comparison, ours } of measured) {
    const { file, python } = comparison;
    const query = { msg_id: { $ne: null } };
    const pythonSamples = await timePython(python, { action: 'db_query', args: [query] }, 1, file.records);
    const peak = await peakMemory(comparison.ours.controllerPid);
    if (file === measured.at(-1)?.comparison.file)
      aims.push(
        aim(`our hub's peak memory, ${sizeOf(file)} records`, peak / 1e6, { most: 300, unit: ' MB' }),
      );
    if (file === largestWithPython(measured).comparison.file) {
      const name = `all complete records, ${sizeOf(file)} records: Python ÷ ours`;
      aims.unshift(aim(name, median(pythonSamples) / median(ours), { least: 40, unit: '×' }));
    }
    rows.push([
      sizeOf(file),
      ms(median(ours)),
      `${Math.round(file.records / median(ours)).toLocaleString('en')}/ms`,
      megabytes(peak),
      ms(median(pythonSamples)),
      megabytes(python === undefined ? Number.NaN : await peakMemory(python.controllerPid)),
      times(median(pythonSamples) / median(ours)),
    ]);
  }
  printMarkdown(
    "All complete records (ours streamed, Python's in one message)",
    ['records', 'ours', 'rate', "our hub's peak", 'Python pair', "its hub's peak", 'Python ÷ ours'],
    rows,
  );
  return aims;
}

/** Returns the largest file that the Python pair was measured with, or the first file. */
function largestWithPython<M extends { readonly comparison: Comparison }>(measured: readonly M[]): M {
  const found = measured.findLast(({ comparison }) => comparison.python !== undefined) ?? measured[0];
  if (found === undefined) throw new Error('nothing was measured');
  return found;
}

/** Measures each comparison in turn, round after round, and joins the samples of the rounds. */
async function measureInRounds<K extends string>(
  comparisons: readonly Comparison[],
  rounds: number,
  measure: (comparison: Comparison, round: number) => Promise<Record<K, Samples>>,
): Promise<(Record<K, Samples> & { readonly comparison: Comparison })[]> {
  const results = comparisons.map(() => [] as Record<K, Samples>[]);
  for (let round = 0; round < rounds; round++) {
    for (const [i, comparison] of comparisons.entries()) results[i]?.push(await measure(comparison, round));
  }
  return comparisons.map((comparison, i) => {
    const samplesOfRounds = results[i] ?? [];
    const names = Object.keys(samplesOfRounds[0] ?? {}) as K[];
    const joined = names.map(
      (name) => [name, joinRounds(samplesOfRounds.map((samples) => samples[name]))] as const,
    );
    return { ...(Object.fromEntries(joined) as Record<K, Samples>), comparison };
  });
}

/** Returns no samples when there is no Python pair; medians are then NaN. */
async function timePython(
  pair: PythonPair | undefined,
  action: PythonAction,
  count: number,
  expected = 1,
): Promise<Samples> {
  if (pair === undefined) return { name: 'python', ms: [] };
  const samples = await pair.rc.time('python', action, count);
  if (samples.size !== expected)
    throw new Error(`Python's hub returned ${samples.size} records instead of ${expected}`);
  return samples;
}

function sizeOf({ records }: TasksFile): string {
  return records.toLocaleString('en');
}
