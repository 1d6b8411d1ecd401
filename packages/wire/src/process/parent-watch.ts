const POLL_INTERVAL_MS = 500;

/** Calls `onExit` once when the process `pid` has ended. Returns a function that stops watching. */
export function watchParent(pid: number, onExit: () => void): () => void {
  // The ppid of a child changes when its parent ends, even if the system reuses the pid.
  const isOurParent = process.ppid === pid;
  const timer = setInterval(() => {
    if (isOurParent ? process.ppid === pid : isRunning(pid)) return;
    clearInterval(timer);
    onExit();
  }, POLL_INTERVAL_MS);
  timer.unref();
  return () => clearInterval(timer);
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM means that the process exists but belongs to another user.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
