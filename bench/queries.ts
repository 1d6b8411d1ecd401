import { Session } from '@ipyparallel-js/protocol';
import { Closing } from '../test/support/closing.js';
import { type Aim, aim } from './aims.js';
import { openBareSqlite } from './bare-sqlite.js';
import { startEcho } from './echo.js';
import { type OurPair, type PythonPair, peakMemory, startOurPair, startPythonPair } from './hubs.js';
import { join, type Samples, sample } from './measure.js';
import type { PythonAction } from './python-client.js';
import { median, megabytes, ms, printMarkdown, times } from './report.js';
import type { TasksFile } from './tasks-file.js';

export interface QueriesOptions {
  readonly directory: string;
  readonly rounds: number;
  /** The largest file that the Python pair gets. */
  readonly pythonUpTo: number;
}

/** The two pairs on copies of one file. */
interface Contest {
  readonly file: TasksFile;
  readonly ours: OurPair;
  readonly python: PythonPair | undefined;
}

const KEYS = ['msg_id', 'started', 'completed', 'engine_uuid'] as const;

/**
 * How often each is asked in a round: enough for a median, and Python's pair not for minutes. One record is asked for as
 * often before it counts, by us and by the limits: code that has just begun is not compiled yet.
 */
const OURS = 200;
const BY_ID = 1500;
/** The first questions of all, which are shown beside. */
const FIRST = 100;
const PYTHONS = 30;
/** More records than this are streamed once only. */
const ONCE_FROM = 100_000;

/** Measures and prints all queries. Sizes and sides alternate within each round, so a busy moment hits all alike. */
export async function measureQueries(files: readonly TasksFile[], options: QueriesOptions): Promise<Aim[]> {
  const { directory, rounds } = options;
  await using closing = new Closing();
  const contests: Contest[] = [];
  for (const file of files) {
    const ours = closing.use(await startOurPair({ directory, tasks: file.path }));
    const python =
      file.records <= options.pythonUpTo
        ? closing.use(await startPythonPair({ directory, tasks: file.path }))
        : undefined;
    contests.push({ file, ours, python });
  }
  printMarkdown(
    "Start of our controller on a file of Python's: its indexes are made",
    ['records', 'serves after'],
    contests.map(({ file, ours }) => [sizeOf(file), ms(ours.startMs)]),
  );
  return [
    ...(await measureOneById(contests, rounds)),
    ...(await measureLastHour(contests, rounds)),
    ...(await measureEverything(contests, rounds)),
  ];
}

async function measureOneById(contests: readonly Contest[], rounds: number): Promise<Aim[]> {
  await using echo = await startEcho();
  const session = new Session({ key: 'a key', now: () => new Date() });
  const measured = await inRounds(contests, rounds, async ({ file, ours, python }, round) => {
    using bare = openBareSqlite(file.path);
    const { oneId } = file;
    const ask = () => Promise.resolve(ours.rc.dbQuery({ msg_id: oneId }));
    const first = await sample('first', round === 0 ? FIRST : 0, ask, 0);
    const request = () =>
      session.encode(session.message('db_request', { query: { msg_id: oneId }, keys: null }));
    return {
      first,
      echo: await sample('echo', BY_ID, () => echo.roundTrip(request()), BY_ID),
      read: await sample('read', BY_ID, async () => bare.read(oneId), BY_ID),
      ours: await sample('ours', BY_ID, ask, BY_ID),
      python: await timePython(python, { action: 'db_query', args: [{ msg_id: oneId }] }, PYTHONS),
    };
  });
  printMarkdown(
    'One record by id, all its fields',
    [
      ...['records', 'bare echo', 'bare read', 'ours', `our first ${FIRST}`, 'ours ÷ (echo + read)'],
      ...['Python pair', 'Python ÷ ours'],
    ],
    measured.map(({ contest, first, echo, read, ours, python }) => [
      sizeOf(contest.file),
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
      `one record by id, ${sizeOf(last.contest.file)} records: to bare echo + bare read`,
      median(last.ours) / (median(last.echo) + median(last.read)),
      { most: 2.5, unit: '×' },
      `, ${ms(median(last.ours))}`,
    ),
  ];
}

async function measureLastHour(contests: readonly Contest[], rounds: number): Promise<Aim[]> {
  const measured = await inRounds(contests, rounds, async ({ file, ours, python }) => {
    const query = { started: { $gte: file.lastHour }, client_uuid: file.client };
    const ask = async (): Promise<void> => {
      const { length } = await ours.rc.dbQuery(query, KEYS);
      if (length !== file.matches) throw new Error(`our hub found ${length} tasks, not ${file.matches}`);
    };
    return {
      ours: await sample('ours', OURS / 2, ask),
      python: await timePython(python, { action: 'db_query', args: [query, KEYS] }, 5, file.matches),
    };
  });
  const first = measured[0];
  printMarkdown(
    `The ${first?.contest.file.matches} tasks of one client of the last hour, four fields`,
    ['records', 'ours', 'growth', 'Python pair', 'growth', 'Python ÷ ours'],
    measured.map(({ contest, ours, python }) => [
      sizeOf(contest.file),
      ms(median(ours)),
      times(median(ours) / median(first?.ours ?? ours)),
      ms(median(python)),
      times(median(python) / median(first?.python ?? python)),
      times(median(python) / median(ours)),
    ]),
  );
  const last = measured.at(-1);
  const beside = withPython(measured);
  if (first === undefined || last === undefined) return [];
  return [
    aim(
      `one client's last hour, ${sizeOf(beside.contest.file)} records: Python's time to ours`,
      median(beside.python) / median(beside.ours),
      { least: 20, unit: '×' },
    ),
    aim(
      `the same: its growth from ${sizeOf(first.contest.file)} to ${sizeOf(last.contest.file)}`,
      median(last.ours) / median(first.ours),
      { most: 1.3, unit: '×' },
    ),
  ];
}

async function measureEverything(contests: readonly Contest[], rounds: number): Promise<Aim[]> {
  const measured = await inRounds(contests, Math.min(rounds, 3), async ({ file, ours }, round) => {
    if (round > 0 && file.records > ONCE_FROM) return { ours: { name: 'ours', ms: [] } };
    const stream = async (): Promise<void> => {
      let records = 0;
      for await (const _record of ours.rc.dbQuery({}).stream()) records++;
      if (records !== file.records) throw new Error(`our hub gave ${records} records, not ${file.records}`);
    };
    return { ours: await sample('ours', 1, stream, 0) };
  });
  const rows: string[][] = [];
  const aims: Aim[] = [];
  for (const { contest, ours } of measured) {
    const { file, python } = contest;
    const query = { msg_id: { $ne: null } };
    const theirs = await timePython(python, { action: 'db_query', args: [query] }, 1, file.records);
    const peak = await peakMemory(contest.ours.controllerPid);
    if (file === measured.at(-1)?.contest.file)
      aims.push(aim(`our hub's peak, ${sizeOf(file)} records`, peak / 1e6, { most: 300, unit: ' MB' }));
    if (file === withPython(measured).contest.file) {
      const name = `every full record, ${sizeOf(file)} records: Python's time to ours`;
      aims.unshift(aim(name, median(theirs) / median(ours), { least: 40, unit: '×' }));
    }
    rows.push([
      sizeOf(file),
      ms(median(ours)),
      `${Math.round(file.records / median(ours)).toLocaleString('en')}/ms`,
      megabytes(peak),
      ms(median(theirs)),
      megabytes(python === undefined ? Number.NaN : await peakMemory(python.controllerPid)),
      times(median(theirs) / median(ours)),
    ]);
  }
  printMarkdown(
    "Every full record (ours streamed, Python's in its one message)",
    ['records', 'ours', 'rate', "our hub's peak", 'Python pair', "its hub's peak", 'Python ÷ ours'],
    rows,
  );
  return aims;
}

/** The largest that the Python pair has, or the first. */
function withPython<M extends { readonly contest: Contest }>(measured: readonly M[]): M {
  const found = measured.findLast(({ contest }) => contest.python !== undefined) ?? measured[0];
  if (found === undefined) throw new Error('nothing was measured');
  return found;
}

/** Runs a measurement of each contest in turn, round after round, and joins what the rounds gave. */
async function inRounds<K extends string>(
  contests: readonly Contest[],
  rounds: number,
  measure: (contest: Contest, round: number) => Promise<Record<K, Samples>>,
): Promise<(Record<K, Samples> & { readonly contest: Contest })[]> {
  const results = contests.map(() => [] as Record<K, Samples>[]);
  for (let round = 0; round < rounds; round++) {
    for (const [i, contest] of contests.entries()) results[i]?.push(await measure(contest, round));
  }
  return contests.map((contest, i) => {
    const ofRounds = results[i] ?? [];
    const names = Object.keys(ofRounds[0] ?? {}) as K[];
    const joined = names.map((name) => [name, join(ofRounds.map((samples) => samples[name]))] as const);
    return { ...(Object.fromEntries(joined) as Record<K, Samples>), contest };
  });
}

/** Nothing where there is no Python pair: medians are NaN then. */
async function timePython(
  pair: PythonPair | undefined,
  action: PythonAction,
  count: number,
  expected = 1,
): Promise<Samples> {
  if (pair === undefined) return { name: 'python', ms: [] };
  const samples = await pair.rc.time('python', action, count);
  if (samples.size !== expected)
    throw new Error(`Python's hub gave ${samples.size} records, not ${expected}`);
  return samples;
}

function sizeOf({ records }: TasksFile): string {
  return records.toLocaleString('en');
}
