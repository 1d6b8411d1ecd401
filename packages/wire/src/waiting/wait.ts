import { TimeoutError, UsageError } from '@ipyparallel-js/protocol';
import type { OptionNames } from '@ipyparallel-js/protocol/internal';

/** What everything that waits takes. */
export interface WaitOptions {
  /** Milliseconds; `Infinity` is allowed. The default is said where it is used. */
  readonly timeout?: number;
  /** Ends the wait here, with `signal.reason`; what was asked of the hub may still be carried out there. */
  readonly signal?: AbortSignal;
}

export const WAIT_OPTIONS: OptionNames<WaitOptions> = { timeout: true, signal: true };

/** One deadline for one request, handed down through all that it waits for. */
export interface Deadline {
  /** The time allowed in all, in ms. */
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
  /** What is left of it, in ms; never negative. */
  remaining(): number;
  /** How long it has run, in ms. */
  elapsed(): number;
}

/** Starts a deadline. @throws UsageError for a time-out that is no number of milliseconds */
export function startDeadline(options: WaitOptions, defaultTimeout: number): Deadline {
  const timeout = options.timeout ?? defaultTimeout;
  if (typeof timeout !== 'number' || Number.isNaN(timeout) || timeout < 0) {
    throw new UsageError(
      `timeout is a number of milliseconds, 0 or more, or Infinity; not ${String(timeout)}`,
    );
  }
  const start = performance.now();
  return {
    timeout,
    signal: options.signal,
    remaining: () => Math.max(0, timeout - (performance.now() - start)),
    elapsed: () => performance.now() - start,
  };
}

/** setTimeout fires at once for more than this. */
const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * Waits for what `start` sets off, within the deadline: rejects with `signal.reason` on abort and with what
 * `onTimeout` makes when time is up. `start` returns its clean-up, which always runs once.
 */
export function waitFor<T>(
  deadline: Deadline,
  onTimeout: (waitedMs: number) => Error,
  start: (resolve: (value: T) => void, reject: (reason: unknown) => void) => (() => void) | undefined,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const { signal } = deadline;
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    let timer: NodeJS.Timeout | undefined;
    let cleanup: (() => void) | undefined;
    let settled = false;
    const finish = (settle: () => void): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      cleanup?.();
      settle();
    };
    const onAbort = (): void => finish(() => reject(signal?.reason));
    const arm = (): void => {
      const left = deadline.remaining();
      if (left === Number.POSITIVE_INFINITY) return;
      timer = setTimeout(
        () => {
          if (deadline.remaining() > 0) arm();
          else finish(() => reject(onTimeout(deadline.elapsed())));
        },
        Math.min(left, LONGEST_TIMER),
      );
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    arm();
    cleanup = start(
      (value) => finish(() => resolve(value)),
      (reason) => finish(() => reject(reason)),
    );
    if (settled) cleanup?.();
  });
}

/** Waits for a promise within the deadline. The promise itself goes on. */
export function withinDeadline<T>(
  deadline: Deadline,
  promise: PromiseLike<T>,
  onTimeout: (waitedMs: number) => Error,
): Promise<T> {
  return waitFor<T>(deadline, onTimeout, (resolve, reject) => {
    promise.then(resolve, reject);
    return undefined;
  });
}

/** Sleeps; ends early, without an error, when the signal aborts. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, Math.min(ms, LONGEST_TIMER));
    signal?.addEventListener('abort', done, { once: true });
  });
}

/** `12.3 s`, `250 ms`: a time for an error message. */
export function formatMs(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

/** A TimeoutError whose message ends in the time waited. */
export function timeoutError(what: string, waitedMs: number, hint = ''): TimeoutError {
  return new TimeoutError(`${what} within ${formatMs(waitedMs)}${hint === '' ? '' : `; ${hint}`}`, waitedMs);
}
