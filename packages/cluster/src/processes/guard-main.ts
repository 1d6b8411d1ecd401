// The guard of one cluster: a process that outlives the one that started the cluster by just enough to end everything
// it left behind, however it went. It reads one JSON object per line; see GuardOrder.
import { rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { endProcesses } from './end-processes.js';
import type { GuardOrder } from './guard.js';

const GRACE_MS = 2_000;

// Ctrl-C at a terminal reaches every process of it; this one has to see the others off.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

const engines = new Set<number>();
const controllers = new Set<number>();
const paths = new Set<string>();
let released = false;

function obey(order: GuardOrder): void {
  if ('watch' in order) (order.role === 'engine' ? engines : controllers).add(order.watch);
  else if ('forget' in order) {
    engines.delete(order.forget);
    controllers.delete(order.forget);
  } else if ('remove' in order) paths.add(order.remove);
  else released = true;
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    obey(JSON.parse(line) as GuardOrder);
  } catch {
    // The last line may be cut short when its writer was killed.
  }
}
if (!released) {
  // Engines first: their nannies tell the controller.
  await endProcesses([...engines], GRACE_MS);
  await endProcesses([...controllers], GRACE_MS);
  for (const path of paths) await rm(path, { recursive: true, force: true });
}
