const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const running = new Set<{ stop(): Promise<void> }>();
let ending = false;

/** From now on a deadly signal stops this first. The handlers are there once, however many register. */
export function stopOnSignals(cluster: { stop(): Promise<void> }): void {
  if (running.size === 0) for (const signal of SIGNALS) process.on(signal, onSignal);
  running.add(cluster);
}

/** Undoes it; the handlers go with the last. */
export function ignoreSignals(cluster: { stop(): Promise<void> }): void {
  if (running.delete(cluster) && running.size === 0) removeHandlers();
}

/** The first signal stops in order, a second one at once: then the guards clean up. */
function onSignal(signal: NodeJS.Signals): void {
  if (ending) {
    raise(signal);
    return;
  }
  ending = true;
  void Promise.allSettled([...running].map((cluster) => cluster.stop())).then(() => raise(signal));
}

/** Raised again, it ends this process as if there had been no handler: exit code 130 for SIGINT, 143 for SIGTERM. */
function raise(signal: NodeJS.Signals): void {
  removeHandlers();
  ending = false;
  process.kill(process.pid, signal);
}

function removeHandlers(): void {
  for (const signal of SIGNALS) process.off(signal, onSignal);
}
