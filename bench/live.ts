// How soon a change is heard of, and how many tasks a second go through, beside the Python client in the same run:
// `npm run bench:live`, or `npm run bench:live -- --tasks 300 --submit 2000 --rounds 5`.
import { parseArgs } from 'node:util';
import { Client, exactTime } from '@ipyparallel-js/client';
import { Cluster } from '@ipyparallel-js/cluster';
import { requirePythonEnv } from '../test/support/python.js';
import { StockCluster } from '../test/support/stock-cluster.js';
import { join, quantile, type Samples } from './measure.js';
import { type PythonLive, startPythonLive } from './python-live.js';
import { median, ms, perSecond, printMachine, printMarkdown, times } from './report.js';

const { values } = parseArgs({
  options: {
    tasks: { type: 'string', default: '200' },
    submit: { type: 'string', default: '1000' },
    rounds: { type: 'string', default: '3' },
  },
});
const tasks = Number(values.tasks);
const submitted = Number(values.submit);
const rounds = Number(values.rounds);
const ENGINES = 2;
/** Long enough that whoever waits has begun to wait. */
const TASK = 'import time; time.sleep(0.1)';

interface Place {
  readonly name: string;
  readonly connectionFile: string;
}

/** From a task's end, as its record has it, until `watch` tells a subscriber; other clients submit. */
async function delaysOfWatch(
  name: string,
  watcher: Client,
  submitter: Client,
  count: number,
): Promise<Samples> {
  const delays: number[] = [];
  const view = submitter.loadBalancedView();
  let heard: (msgId: string) => void = () => undefined;
  const live = watcher
    .dbQuery({ client_uuid: submitter.session.session }, ['msg_id', 'completed'])
    .watch()
    .subscribe((event) => {
      if (event.type === 'snapshot' || event.type === 'left' || event.record.completed === null) return;
      if (event.type === 'changed' && event.previous.completed !== null) return;
      delays.push(performance.timeOrigin + performance.now() - completedAt(event.record));
      heard(event.record.msg_id);
    });
  try {
    for (let i = 0; i < count; i++) {
      const ar = view.execute(TASK);
      const [msgId] = ar.msgIds;
      await new Promise<void>((resolve) => {
        heard = (id) => {
          if (id === msgId) resolve();
        };
      });
      await ar.get({ timeout: 60_000 });
    }
  } finally {
    live.unsubscribe();
  }
  return { name, ms: delays };
}

/** The same until Python's `AsyncHubResult.wait` returns. */
async function delaysOfPython(
  name: string,
  python: PythonLive,
  submitter: Client,
  count: number,
): Promise<Samples> {
  const delays: number[] = [];
  const view = submitter.loadBalancedView();
  for (let i = 0; i < count; i++) {
    const ar = view.execute(TASK);
    const [msgId = ''] = ar.msgIds;
    // Python's wait fails for a task that the hub has not heard of yet.
    while ((await submitter.dbQuery({ msg_id: msgId }, 'msg_id').first()) === undefined);
    delays.push(await python.wait(msgId));
    await ar.get({ timeout: 60_000 });
  }
  return { name, ms: delays };
}

/** Ms since 1970 with the digits that a Date has not. */
function completedAt(record: { readonly completed: Date | null }): number {
  const text = exactTime(record, 'completed') ?? '';
  return Date.parse(`${text.slice(0, 23)}Z`) + Number(text.slice(23, 26)) / 1000;
}

async function throughput(rc: Client, call: () => readonly Promise<unknown>[]): Promise<number> {
  const start = performance.now();
  await Promise.all(call());
  const taken = performance.now() - start;
  rc.purgeLocalResults('all');
  return taken;
}

async function measure(place: Place): Promise<{ delays: Samples[]; rates: [string, number][] }> {
  const options = { connectionFile: place.connectionFile, timeout: 60_000 };
  await using watcher = await Client.connect(options);
  await using submitter = await Client.connect(options);
  await submitter.waitForEngines(ENGINES, { timeout: 60_000 });
  await using python = await startPythonLive('9', place.connectionFile, ENGINES);
  const ours: Samples[] = [];
  const theirs: Samples[] = [];
  const rates = new Map<string, number[]>();
  const rate = (name: string, taken: number): void =>
    void rates.set(name, [...(rates.get(name) ?? []), taken]);
  const perRound = Math.ceil(tasks / rounds);
  const view = submitter.loadBalancedView();
  for (let round = 0; round < rounds; round++) {
    ours.push(await delaysOfWatch(`watch(), ${place.name}`, watcher, submitter, perRound));
    theirs.push(
      await delaysOfPython(`Python's AsyncHubResult.wait, ${place.name}`, python, submitter, perRound),
    );
    rate(
      `our client, ${place.name}`,
      await throughput(submitter, () =>
        Array.from({ length: submitted }, (_, i) => view.execute('0').get({ timeout: 120_000 })),
      ),
    );
    rate(`Python client, ${place.name}`, await python.submit(submitted));
  }
  const middle = (list: number[]): number => median({ name: '', ms: list });
  return {
    delays: [join(ours), join(theirs)],
    rates: [...rates].map(([name, list]) => [name, middle(list)]),
  };
}

const { python } = requirePythonEnv('9');
const delays: Samples[] = [];
const rates: [string, number][] = [];
{
  await using stock = await StockCluster.start({ version: '9', db: 'dictdb', engines: ENGINES });
  const found = await measure({ name: 'stock 9 --dictdb', connectionFile: stock.connectionFile });
  delays.push(...found.delays);
  rates.push(...found.rates);
}
{
  await using cluster = await Cluster.start({ n: ENGINES, engines: 'python', python });
  const found = await measure({
    name: 'our controller, Python engines',
    connectionFile: cluster.connectionFile,
  });
  delays.push(...found.delays);
  rates.push(...found.rates);
}
{
  await using cluster = await Cluster.start({ n: ENGINES });
  await using rc = await cluster.connect();
  const view = rc.loadBalancedView();
  const taken: number[] = [];
  for (let round = 0; round < rounds; round++)
    taken.push(
      await throughput(rc, () =>
        Array.from({ length: submitted }, (_, i) =>
          view.apply((n: number) => Math.abs(n), -i).get({ timeout: 120_000 }),
        ),
      ),
    );
  rates.push(['our client, our controller, JavaScript engines', median({ name: '', ms: taken })]);
}

printMachine([`Python 3.11, ipyparallel 9`, `${rounds} rounds`]);
printMarkdown(
  `From a task's end to its change at a subscriber (${tasks} tasks of 100 ms, one at a time)`,
  ['', 'median', 'p99'],
  delays.map((samples) => [samples.name, ms(median(samples)), ms(quantile(samples, 0.99))]),
);
const base = rates.find(([name]) => name.startsWith('Python client, stock'))?.[1] ?? Number.NaN;
printMarkdown(
  `${submitted} load-balanced tasks that do nothing, submitted at once and completed`,
  ['', 'rate', 'to Python on the stock cluster'],
  rates.map(([name, taken]) => [name, perSecond(submitted, taken), times(base / taken)]),
);
