// The guard process of one cluster. It ends the cluster's processes after the process that started them has ended for any
// reason. It reads one JSON object per line; see GuardCommand.
import { rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { endProcesses } from './end-processes.js';
import type { GuardCommand } from './guard.js';

const EXIT_TIMEOUT_MS = 2_000;

// Ctrl-C reaches every process of a terminal, but the guard must outlive the others to end them.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

const engines = new Set<number>();
const controllers = new Set<number>();
const paths = new Set<string>();
let isReleased = false;

function execute(command: GuardCommand): void {
  if ('watch' in command) (command.role === 'engine' ? engines : controllers).add(command.watch);
  else if ('forget' in command) {
    engines.delete(command.forget);
    controllers.delete(command.forget);
  } else if ('remove' in command) paths.add(command.remove);
  else isReleased = true;
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    execute(JSON.parse(line) as GuardCommand);
  } catch {
    // The last line may be incomplete when its writer was killed.
  }
}
if (!isReleased) {
  // End the engines first, because their nannies notify the controller.
  await endProcesses([...engines], EXIT_TIMEOUT_MS);
  await endProcesses([...controllers], EXIT_TIMEOUT_MS);
  for (const path of paths) await rm(path, { recursive: true, force: true });
}
