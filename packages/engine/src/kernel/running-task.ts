import { inspect } from 'node:util';
import { type TaskContext, type TaskProgress, UsageError } from '@ipyparallel-js/protocol';
import { encodeTaskData, type JsPayload } from '@ipyparallel-js/protocol/internal';

export interface RunningTaskOptions {
  readonly msgId: string;
  /** Whether the task has been aborted. Works while the code never yields. */
  readonly abortRequested: () => boolean;
  readonly send: (payload: JsPayload) => void;
  /** Milliseconds; a monotonic clock. */
  readonly now: () => number;
  /** Calls `callback` after `ms` milliseconds; must not keep the process alive. */
  readonly schedule: (callback: () => void, ms: number) => void;
}

const ONE_LINE = { depth: 0, maxStringLength: 100, breakLength: Number.POSITIVE_INFINITY };

/** How long published data may be buffered, in ms. */
const FLUSH_INTERVAL = 50;
/** How many yielded values may be buffered. */
const MAX_BATCH_VALUES = 1_000;
/** The fastest rate at which data is sent, so that it does not accumulate in queues; in bytes per ms. */
const MAX_RATE = 100_000;

/** The abort reason of an aborted task's signal, and the failure of a task that rethrows it. */
class TaskAborted extends Error {
  override readonly name = 'TaskAborted';
  readonly code = 'TASK_ABORTED';
}

/** The abort reason of an interrupted task's signal. */
class KeyboardInterrupt extends Error {
  override readonly name = 'KeyboardInterrupt';
}

/**
 * The running task, as its code sees it. Joins published data: sends the first data at once and the rest every 50 ms,
 * also from code that never yields but continues to publish. Does nothing after the task has ended.
 */
export class RunningTask implements TaskContext {
  readonly msgId: string;
  readonly #options: RunningTaskOptions;
  readonly #controller = new AbortController();
  #pendingData: { [name: string]: unknown } = {};
  #yieldedValues: unknown[] = [];
  /** The number of yielded values sent so far. */
  #sentValueCount = 0;
  #hasPending = false;
  #sentAt = Number.NEGATIVE_INFINITY;
  /** How long the transfer of the last message takes at most, in ms. */
  #transferTime = 0;
  #isTimerSet = false;
  #hasEnded = false;

  constructor(options: RunningTaskOptions) {
    this.msgId = options.msgId;
    this.#options = options;
  }

  get signal(): AbortSignal {
    this.checkAbort();
    return this.#controller.signal;
  }

  readonly progress = (value: TaskProgress): void => {
    if (
      typeof value !== 'number' &&
      (typeof value !== 'object' || value === null || !Number.isFinite(value.done))
    ) {
      throw new UsageError(
        `progress must be a number between 0 and 1, or { done, total }, got ${inspect(value, ONE_LINE)}`,
      );
    }
    this.publish({ progress: value });
  };

  readonly publish = (data: Readonly<Record<string, unknown>>): void => {
    if (typeof data !== 'object' || data === null)
      throw new UsageError(`publish requires an object of data by name, got ${inspect(data, ONE_LINE)}`);
    if (this.#hasEnded) return;
    // Clone now: later changes then do not affect buffered data, and data that cannot be sent fails here and not in a timer.
    for (const [name, value] of Object.entries(data)) {
      Object.defineProperty(this.#pendingData, name, {
        value: clone(value),
        enumerable: true,
        configurable: true,
      });
    }
    this.#scheduleFlush();
  };

  /** Publishes a value that the task's generator has yielded. @returns The value as sent. */
  publishYielded(value: unknown): unknown {
    const sent = clone(value);
    this.#yieldedValues.push(sent);
    this.#scheduleFlush();
    return sent;
  }

  /** Aborts the signal if the task has been aborted. */
  checkAbort(): void {
    if (!this.#controller.signal.aborted && this.#options.abortRequested()) {
      this.#controller.abort(new TaskAborted('the task was aborted'));
    }
  }

  /** Aborts the signal because the running code is interrupted. */
  interrupt(): void {
    this.checkAbort();
    if (!this.#controller.signal.aborted) {
      this.#controller.abort(new KeyboardInterrupt('the running code was interrupted'));
    }
  }

  /** Whether the task was aborted, as opposed to interrupted. */
  get aborted(): boolean {
    this.checkAbort();
    return this.#controller.signal.reason instanceof TaskAborted;
  }

  /** Whether `thrown` results from an abort: it is the signal's reason, an AbortError, or caused by one. */
  wasAbortedBy(thrown: unknown): boolean {
    const { signal } = this.#controller;
    if (!this.aborted) return false;
    let error = thrown;
    for (let depth = 0; depth < 10 && typeof error === 'object' && error !== null; depth++) {
      if (error === signal.reason) return true;
      const { name, cause } = error as { readonly name?: unknown; readonly cause?: unknown };
      if (name === 'AbortError') return true;
      error = cause;
    }
    return false;
  }

  /** Sends all buffered data. */
  flush(): void {
    if (!this.#hasPending || this.#hasEnded) return;
    this.#hasPending = false;
    this.#sentAt = this.#options.now();
    const data = this.#pendingData;
    this.#pendingData = {};
    if (this.#yieldedValues.length > 0) {
      const values = this.#yieldedValues;
      this.#yieldedValues = [];
      Object.defineProperty(data, 'partial', {
        value: { from: this.#sentValueCount, values },
        enumerable: true,
      });
      this.#sentValueCount += values.length;
    }
    const payload = encodeTaskData(data);
    this.#transferTime = payload.buffers.reduce((sum, { byteLength }) => sum + byteLength, 0) / MAX_RATE;
    this.#options.send(payload);
  }

  /** How long a generator should wait before its next value, in ms, so that sent data can be transferred. */
  get congestion(): number {
    return Math.max(0, this.#sentAt + this.#transferTime - this.#options.now());
  }

  /** Sends buffered data and ends publishing. @returns The error of the send, if it failed. */
  end(): { readonly thrown: unknown } | undefined {
    try {
      this.flush();
      return undefined;
    } catch (thrown) {
      return { thrown };
    } finally {
      this.#hasEnded = true;
    }
  }

  #scheduleFlush(): void {
    const { now, schedule } = this.#options;
    this.#hasPending = true;
    const delay = this.#sentAt + Math.max(FLUSH_INTERVAL, this.#transferTime) - now();
    if (delay <= 0 || this.#yieldedValues.length >= MAX_BATCH_VALUES) this.flush();
    else if (!this.#isTimerSet) {
      this.#isTimerSet = true;
      schedule(() => {
        // An interrupt may terminate this callback at any point; the next call then compares the clock itself.
        this.#isTimerSet = false;
        this.flush();
      }, delay);
    }
  }
}

function clone(value: unknown): unknown {
  return typeof value === 'object' || typeof value === 'function' || typeof value === 'symbol'
    ? structuredClone(value)
    : value;
}
