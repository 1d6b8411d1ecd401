// The delay from a task's end, by its engine's clock, to its change at a subscriber of a live query, all on one machine.
import { Client, exactTime } from '@ipyparallel-js/client';
import { Cluster } from '@ipyparallel-js/cluster';
import { StockCluster, stockVersions } from '../test/support/stock-cluster.js';
import { quantile, type Samples } from './measure.js';

const TASKS = Number(process.argv[2] ?? 200);
/** Between two tasks, in ms: each is followed alone. */
const PAUSE_MS = 20;

async function delays(name: string, connectionFile: string): Promise<Samples> {
  await using watching = await Client.connect({ connectionFile });
  await using working = await Client.connect({ connectionFile });
  await Promise.all([watching.waitForEngines(1), working.waitForEngines(1)]);
  const ms: number[] = [];
  const query = watching.dbQuery({ completed: { $ne: null } }, ['completed', 'result_content', 'stdout']);
  const subscription = query.watch().subscribe((event) => {
    if (event.type !== 'entered') return;
    const now = performance.timeOrigin + performance.now();
    const ended = exactTime(event.record, 'completed') ?? '';
    ms.push(now - Date.parse(ended) - Number(ended.slice(23, 26)) / 1_000);
  });
  const view = working.loadBalancedView();
  for (let i = 0; i < TASKS; i++) {
    await view.execute(`${i}`).get();
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  subscription.unsubscribe();
  return { name, ms: ms.slice(Math.ceil(TASKS / 10)) };
}

function print(samples: Samples): void {
  const [median, most] = [quantile(samples, 0.5), quantile(samples, 0.99)];
  console.log(
    `${samples.name.padEnd(24)} ${samples.ms.length} tasks, median ${median.toFixed(1)} ms, 99 % within ${most.toFixed(1)} ms`,
  );
}

for (const db of ['memory', 'sqlite'] as const) {
  await using cluster = await Cluster.start({ n: 1, controllerArgs: db === 'sqlite' ? ['--sqlitedb'] : [] });
  print(await delays(`our hub, ${db}`, cluster.connectionFile));
}
for (const version of stockVersions) {
  for (const db of ['dictdb', 'sqlitedb'] as const) {
    await using cluster = await StockCluster.start({ version, db, engines: 1 });
    print(await delays(`stock ${version}, ${db}`, cluster.connectionFile));
  }
}
