const POLL = 500;

/** Calls back once when the process `pid` is gone. Returns how to stop watching. */
export function watchParent(pid: number, onGone: () => void): () => void {
  // A child's ppid changes when its parent goes, even if another process takes the number.
  const isOurParent = process.ppid === pid;
  const timer = setInterval(() => {
    if (isOurParent ? process.ppid === pid : isRunning(pid)) return;
    clearInterval(timer);
    onGone();
  }, POLL);
  timer.unref();
  return () => clearInterval(timer);
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Not permitted means that it is there.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
