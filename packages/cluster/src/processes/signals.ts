const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const running = new Set<{ stop(): Promise<void> }>();
let ending = false;

/** Makes SIGINT, SIGTERM and SIGHUP stop `cluster` before they end this process. */
export function stopOnSignals(cluster: { stop(): Promise<void> }): void {
  if (running.size === 0) for (const signal of SIGNALS) process.on(signal, onSignal);
  running.add(cluster);
}

/** Reverts {@link stopOnSignals}. Removes the handlers with the last cluster. */
export function releaseSignals(cluster: { stop(): Promise<void> }): void {
  if (running.delete(cluster) && running.size === 0) removeHandlers();
}

/** The first signal stops all clusters; a second one ends this process at once, and the guards clean up. */
function onSignal(signal: NodeJS.Signals): void {
  if (ending) {
    raise(signal);
    return;
  }
  ending = true;
  void Promise.allSettled([...running].map((cluster) => cluster.stop())).then(() => raise(signal));
}

/** Ends this process by the signal, as without a handler: exit code 130 for SIGINT, 143 for SIGTERM. */
function raise(signal: NodeJS.Signals): void {
  removeHandlers();
  ending = false;
  process.kill(process.pid, signal);
}

function removeHandlers(): void {
  for (const signal of SIGNALS) process.off(signal, onSignal);
}
