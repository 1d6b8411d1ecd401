// Measures the delay of change events and the throughput of tasks, and compares both with the Python client in the same
// run: `npm run bench:live`.
import { parseArgs } from 'node:util';
import { Client } from '@ipyparallel-js/client';
import { Cluster } from '@ipyparallel-js/cluster';
import { StockCluster } from '../../test/support/clusters/stock-cluster.js';
import { requirePythonEnv } from '../../test/support/python/python.js';
import { ms, perSecond, printMachine, printMarkdown, times } from '../lib/report.js';
import { quantile } from '../lib/samples.js';
import type { Amount, Submit } from '../lib/submit.js';
import { startPythonLive } from '../peers/python-live.js';
import { measureRun, ourClient, type Processes, pythonClient, type Run } from './live/throughput.js';
import { measurePythonDelays, measureWatchDelays } from './live/watch-delays.js';

const usage = `npm run bench:live -- [options]

  --tasks N       watched tasks per client; 300
  --submit N      load-balanced calls submitted at once; 2000
  --map N         elements of the map; 100000
  --chunksize N   elements of the map per task; 100
  --rounds N      number of rounds; each round measures everything once; 5
  --only PART,…   delays, rates; both by default
  --on CLUSTER,…  stock, ours, javascript; all by default
  --help          print this text`;

const { values } = parseArgs({
  options: {
    tasks: { type: 'string', default: '300' },
    submit: { type: 'string', default: '2000' },
    map: { type: 'string', default: '100000' },
    chunksize: { type: 'string', default: '100' },
    rounds: { type: 'string', default: '5' },
    only: { type: 'string', default: 'delays,rates' },
    on: { type: 'string', default: 'stock,ours,javascript' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(usage);
  process.exit(0);
}
const rounds = positiveInteger('rounds', values.rounds);
const watched = Math.ceil(positiveInteger('tasks', values.tasks) / rounds);
const calls: Amount = { count: positiveInteger('submit', values.submit) };
const map: Amount = {
  count: positiveInteger('map', values.map),
  chunksize: positiveInteger('chunksize', values.chunksize),
};
const parts = new Set(values.only.split(','));
const on = new Set(values.on.split(','));
const ENGINES = 2;
/** Calls before the measurement, so that JavaScript is compiled. */
const WARM_UP = 300;

interface MeasuredCluster {
  readonly name: string;
  readonly connectionFile: string;
  readonly processes: Processes;
}

const delays = new Map<string, number[]>();
const callRuns = new Map<string, Run[]>();
const mapRuns = new Map<string, Run[]>();
const { python: pythonPath } = requirePythonEnv('9');

if (on.has('stock')) {
  await using stock = await StockCluster.start({ version: '9', db: 'dictdb', engines: ENGINES });
  await measureBoth({
    name: 'stock controller',
    connectionFile: stock.connectionFile,
    processes: { controller: [stock.controllerPid], engines: stock.enginePids },
  });
}
if (on.has('ours')) {
  await using cluster = await Cluster.start({ n: ENGINES, engines: 'python', python: pythonPath });
  await measureBoth({
    name: 'our controller',
    connectionFile: cluster.connectionFile,
    processes: processesOf(cluster),
  });
}
if (on.has('javascript') && parts.has('rates')) {
  await using cluster = await Cluster.start({ n: ENGINES });
  await using rc = await cluster.connect();
  const submit = ourClient(rc, 'javascript');
  await submit({ count: WARM_UP });
  for (let round = 0; round < rounds; round++)
    await measureRates('our client, our controller, JavaScript engines', submit, processesOf(cluster));
}

printMachine(['Python 3.11, ipyparallel 9', `${rounds} rounds`]);
if (parts.has('delays')) {
  printMarkdown(
    `From a task's end to the client that follows it (${watched * rounds} tasks of 100 ms, one at a time)`,
    ['', 'median', 'p95', 'p99', 'max'],
    [...delays].map(([name, list]) => [
      name,
      ...[0.5, 0.95, 0.99, 1].map((p) => ms(quantile({ name, ms: list }, p))),
    ]),
  );
}
if (parts.has('rates')) {
  printRates(
    `${values.submit} load-balanced calls of abs, from submission at once to the last result`,
    callRuns,
    calls,
    1,
  );
  printRates(
    `A load-balanced map of abs over ${values.map} numbers, ${values.chunksize} per task`,
    mapRuns,
    map,
    map.chunksize ?? 1,
  );
}

/** Measures both clients on one cluster of Python engines. */
async function measureBoth({ name, connectionFile, processes }: MeasuredCluster): Promise<void> {
  await using python = await startPythonLive('9', connectionFile, ENGINES);
  const connect = async (): Promise<Client> => {
    const rc = await Client.connect({ connectionFile, timeout: 60_000 });
    await rc.waitForEngines(ENGINES, { timeout: 60_000 });
    return rc;
  };
  for (let round = 0; round < rounds; round++) {
    if (parts.has('delays')) {
      await using watcher = await connect();
      await using submitter = await connect();
      append(delays, `watch(), ${name}`, ...(await measureWatchDelays(watcher, submitter, watched)));
      append(
        delays,
        `Python's AsyncHubResult.wait, ${name}`,
        ...(await measurePythonDelays(python, submitter, watched)),
      );
    }
    if (!parts.has('rates')) continue;
    await using rc = await connect();
    const [ours, theirs] = [ourClient(rc, 'python'), pythonClient(python)];
    if (round === 0) for (const submit of [ours, theirs]) await submit({ count: WARM_UP });
    await measureRates(`our client, ${name}`, ours, processes);
    await measureRates(`Python client, ${name}`, theirs, processes);
  }
}

async function measureRates(name: string, submit: Submit, processes: Processes): Promise<void> {
  append(callRuns, name, await measureRun(submit, processes, calls));
  append(mapRuns, name, await measureRun(submit, processes, map));
}

function printRates(title: string, runs: Map<string, Run[]>, { count }: Amount, perTask: number): void {
  const medianOf = (list: readonly Run[], of: (run: Run) => number): number =>
    quantile({ name: '', ms: list.map(of) }, 0.5);
  const baselineRuns = runs.get('Python client, stock controller');
  const baseline = baselineRuns === undefined ? Number.NaN : medianOf(baselineRuns, ({ elapsed }) => elapsed);
  const perTaskUs = (value: number): string => `${Math.round((value * 1000 * perTask) / count)} µs`;
  printMarkdown(
    title,
    ['', 'rate', '÷ Python on stock', 'processor time per task: client', 'controller', 'engines'],
    [...runs].map(([name, list]) => {
      const elapsed = medianOf(list, (run) => run.elapsed);
      const shares = [(run: Run) => run.client, (run: Run) => run.controller, (run: Run) => run.engines];
      return [
        name,
        perSecond(count, elapsed),
        times(baseline / elapsed),
        ...shares.map((share) => perTaskUs(medianOf(list, share))),
      ];
    }),
  );
}

function append<T>(map: Map<string, T[]>, name: string, ...items: T[]): void {
  const list = map.get(name);
  if (list === undefined) map.set(name, items);
  else list.push(...items);
}

function processesOf(cluster: Cluster): Processes {
  return { controller: [cluster.controller.pid], engines: cluster.engines.map(({ pid }) => pid) };
}

function positiveInteger(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  console.error(`--${name} must be an integer >= 1, got ${text}\n\n${usage}`);
  process.exit(2);
}
