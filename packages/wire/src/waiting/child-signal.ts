/**
 * Runs `run` with a new signal that aborts when `signal` does. `AbortSignal.any` is no alternative, because every call
 * leaks some memory for the lifetime of a long-lived `signal`.
 */
export async function withChildSignal<T>(
  signal: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const child = new AbortController();
  const abort = (): void => child.abort(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await run(child.signal);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
