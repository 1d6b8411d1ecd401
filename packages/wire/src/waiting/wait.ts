import { TimeoutError, UsageError } from '@ipyparallel-js/protocol';
import type { OptionNames } from '@ipyparallel-js/protocol/internal';

/** The options of every method that waits. */
export interface WaitOptions {
  /** How long to wait, in ms; `Infinity` waits without limit. Each method documents its default. */
  readonly timeout?: number;
  /** Ends the wait with `signal.reason`. A request already sent to the hub is not cancelled. */
  readonly signal?: AbortSignal;
}

export const WAIT_OPTIONS: OptionNames<WaitOptions> = { timeout: true, signal: true };

/** The deadline of one request, shared by all waits of that request. */
export interface Deadline {
  /** The total time, in ms. */
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
  /** The remaining time, in ms; never negative. */
  remaining(): number;
  /** The time since the start, in ms. */
  elapsed(): number;
}

/**
 * Starts a deadline.
 * @throws {UsageError} when `timeout` is not a number of milliseconds >= 0
 */
export function startDeadline(options: WaitOptions, defaultTimeout: number): Deadline {
  const timeout = options.timeout ?? defaultTimeout;
  if (typeof timeout !== 'number' || Number.isNaN(timeout) || timeout < 0) {
    throw new UsageError(`timeout must be a number of milliseconds >= 0 or Infinity, got ${String(timeout)}`);
  }
  const start = performance.now();
  return {
    timeout,
    signal: options.signal,
    remaining: () => Math.max(0, timeout - (performance.now() - start)),
    elapsed: () => performance.now() - start,
  };
}

/** The maximum delay of setTimeout, in ms; with a greater one it fires at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Starts an operation and waits until it calls `resolve` or `reject`. The promise rejects with `signal.reason` on abort,
 * and with the error of `onTimeout` at the deadline. The function that `start` returns runs once, however the wait ends.
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
      const remaining = deadline.remaining();
      if (remaining === Number.POSITIVE_INFINITY) return;
      timer = setTimeout(
        () => {
          if (deadline.remaining() > 0) arm();
          else finish(() => reject(onTimeout(deadline.elapsed())));
        },
        Math.min(remaining, MAX_TIMER_MS),
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

/** Waits for a promise until the deadline. The operation behind the promise is not cancelled. */
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

/** Waits `ms` milliseconds, or until the signal aborts; never rejects. */
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
    const timer = setTimeout(done, Math.min(ms, MAX_TIMER_MS));
    signal?.addEventListener('abort', done, { once: true });
  });
}

/** Formats a time for an error message: `12.3 s`, `250 ms`. */
export function formatMs(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

/** Creates a TimeoutError with the message `problem within 12.3 s; hint`. */
export function timeoutError(problem: string, waitedMs: number, hint = ''): TimeoutError {
  return new TimeoutError(
    `${problem} within ${formatMs(waitedMs)}${hint === '' ? '' : `; ${hint}`}`,
    waitedMs,
  );
}
