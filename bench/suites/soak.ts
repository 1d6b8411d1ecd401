// Runs submissions, watches, queries and result reads for minutes and records memory use.
// `npm run soak -- --minutes 10`, or with `--seconds 25`; `--on stock` runs it on ipcontroller 9 with Python engines.
// Prints a line per sample. Fails when memory grows beyond its bounds after the warm-up, or on any error.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { Client } from '@ipyparallel-js/client';
import { Cluster } from '@ipyparallel-js/cluster';
import { StockCluster } from '../../test/support/clusters/stock-cluster.js';
import { Load } from './soak/load.js';
import { describeBounds, findExceeded, MemoryCurve } from './soak/memory-curve.js';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    seconds: { type: 'string' },
    /** The number of concurrent tasks. */
    'in-flight': { type: 'string', default: '16' },
    /** The approximate number of tasks per second. */
    rate: { type: 'string', default: '250' },
    on: { type: 'string', default: 'ours' },
  },
});
const seconds = values.seconds === undefined ? Number(values.minutes ?? 10) * 60 : Number(values.seconds);
const sampleInterval = Math.min(30, seconds / 20) * 1000;
if (!(seconds >= 10)) throw new Error(`the soak requires at least 10 seconds, got ${seconds}`);

interface SoakCluster extends AsyncDisposable {
  readonly connectionFile: string;
  readonly controllerPid: number;
  readonly enginePids: readonly number[];
}

async function startCluster(): Promise<SoakCluster> {
  if (values.on === 'stock') {
    // On a loaded machine, the default limit of 1,024 records may drop a record before the client reads it.
    const controllerArgs = ['--DictDB.record_limit=5000'];
    return await StockCluster.start({ version: '9', engines: 2, controllerArgs });
  }
  const reporter = pathToFileURL(join(import.meta.dirname, 'soak', 'heap-reporter.mjs')).href;
  process.env.NODE_OPTIONS = `--import=${reporter}`;
  process.env.SOAK_HEAPS = heaps;
  process.env.SOAK_EVERY = String(sampleInterval / 2);
  // The hub reaches this limit during the warm-up and then drops one record for each new one.
  const cluster = await Cluster.start({ n: 2, controllerArgs: ['--record-limit=5000'] });
  return {
    connectionFile: cluster.connectionFile,
    controllerPid: cluster.controller.pid,
    enginePids: cluster.engines.map(({ pid }) => pid),
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  };
}

const heaps = mkdtempSync(join(tmpdir(), 'ippjs-soak-'));
process.on('exit', () => rmSync(heaps, { recursive: true, force: true }));
await using cluster = await startCluster();
// Stops the cluster before exit handlers remove the directory that its processes write to.
const stopOnSignal = (): void =>
  void Promise.resolve(cluster[Symbol.asyncDispose]()).finally(() => process.exit(130));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stopOnSignal);
await using rc = await Client.connect({ connectionFile: cluster.connectionFile, timeout: 60_000 });
await using otherClient = await Client.connect({ connectionFile: cluster.connectionFile, timeout: 60_000 });
await rc.waitForEngines(2, { timeout: 60_000 });
await otherClient.waitForEngines(2, { timeout: 60_000 });

const end = new AbortController();
const load = new Load(rc, otherClient, values.on === 'stock' ? 'python' : 'javascript', end.signal);
const curve = new MemoryCurve(cluster.controllerPid, cluster.enginePids, heaps);
const started = performance.now();
const loadRun = load.run(Number(values['in-flight']), Number(values.rate));
const loadFailure = loadRun.then(
  () => undefined,
  (error: unknown) => ({ error }),
);

console.log(MemoryCurve.head);
for (let n = 0; performance.now() - started < seconds * 1000; n++) {
  const due = started + (n + 1) * sampleInterval;
  const timer = new AbortController();
  const failure = await Promise.race([
    loadFailure,
    new Promise<undefined>((resolve) => {
      const timeout = setTimeout(() => resolve(undefined), due - performance.now());
      timer.signal.addEventListener('abort', () => clearTimeout(timeout));
    }),
  ]);
  timer.abort();
  if (failure !== undefined) break;
  load.checkWatchProgress();
  console.log(await curve.sample((performance.now() - started) / 1000, load.counts));
}
end.abort();
const failure = await loadFailure;
if (failure !== undefined) throw failure.error;
await load.waitForConsistency(cluster.connectionFile);
console.log(JSON.stringify(rc.stats));

console.log(describeBounds(seconds));
const problems = [...load.faults, ...findExceeded(curve.samples, seconds)];
for (const problem of problems) console.error(`soak: ${problem}`);
if (problems.length === 0)
  console.log(
    `soak: memory is flat after the warm-up, ${load.counts.results} results, ${load.counts.events} events`,
  );
else process.exitCode = 1;
if (process.stdout.writableLength > 0) await once(process.stdout, 'drain');
