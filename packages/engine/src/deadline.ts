/** Waits for a promise, a time limit and a signal, whichever comes first. */
export async function withDeadline<T>(
  promise: Promise<T>,
  timeout: number,
  signal: AbortSignal | undefined,
  late: () => Error,
): Promise<T> {
  signal?.throwIfAborted();
  let timer: NodeJS.Timeout | undefined;
  let abort = (): void => {};
  const cut = new Promise<never>((_, reject) => {
    // A timer holds 2 ** 31 - 1 ms at most; longer means for ever.
    if (timeout < 2 ** 31) timer = setTimeout(() => reject(late()), timeout);
    abort = () => reject(signal?.reason);
  });
  signal?.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, cut]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}
