const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const runningClusters = new Set<{ stop(): Promise<void> }>();
let isEnding = false;

/** Makes SIGINT, SIGTERM and SIGHUP stop `cluster` before they end this process. */
export function stopOnSignals(cluster: { stop(): Promise<void> }): void {
  if (runningClusters.size === 0) for (const signal of SIGNALS) process.on(signal, onSignal);
  runningClusters.add(cluster);
}

/** Reverts {@link stopOnSignals}. Removes the handlers with the last cluster. */
export function releaseSignals(cluster: { stop(): Promise<void> }): void {
  if (runningClusters.delete(cluster) && runningClusters.size === 0) removeHandlers();
}

/** The first signal stops all clusters; a second one ends this process at once, and the guards clean up. */
function onSignal(signal: NodeJS.Signals): void {
  if (isEnding) {
    raise(signal);
    return;
  }
  isEnding = true;
  void Promise.allSettled([...runningClusters].map((cluster) => cluster.stop())).then(() => raise(signal));
}

/** Ends this process by the signal, as without a handler: exit code 130 for SIGINT, 143 for SIGTERM. */
function raise(signal: NodeJS.Signals): void {
  removeHandlers();
  isEnding = false;
  process.kill(process.pid, signal);
}

function removeHandlers(): void {
  for (const signal of SIGNALS) process.off(signal, onSignal);
}
