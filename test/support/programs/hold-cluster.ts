// A program that starts a cluster, prints its processes and then waits. Its arguments are the options as JSON and how it
// ends: by itself (`exit`, `throw`) or not.
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, type ClusterOptions } from '@ipyparallel-js/cluster';
import { belongingTo, listProcesses } from '@ipyparallel-js/cluster/internal';

const { end, ...options } = JSON.parse(process.argv[2] ?? '{}') as ClusterOptions & {
  end?: 'exit' | 'throw';
};
const cluster = await Cluster.start(options);
const pids = belongingTo([process.pid], await listProcesses()).filter((pid) => pid !== process.pid);
const { controller, engines, directory, connectionFile } = cluster;
const clusterPids = belongingTo([controller.pid, ...engines.map(({ pid }) => pid)], await listProcesses());
const others = pids.filter((pid) => !clusterPids.includes(pid));
await new Promise<void>((resolve) => {
  process.stdout.write(`${JSON.stringify({ pids, others, directory, connectionFile })}\n`, () => resolve());
});
if (end === 'exit') process.exit(7);
if (end === 'throw') throw new Error('thrown on purpose');
for (;;) await sleep(60_000);
