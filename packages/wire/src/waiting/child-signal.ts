/**
 * Runs something with a signal of its own that aborts with a long-lived one. `AbortSignal.any` of a long-lived signal
 * keeps a little memory each time for as long as that lives.
 */
export async function withChildSignal<T>(
  signal: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const brief = new AbortController();
  const abort = (): void => brief.abort(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await run(brief.signal);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
