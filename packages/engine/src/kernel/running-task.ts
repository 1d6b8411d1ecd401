import { type TaskContext, type TaskProgress, UsageError } from '@ipyparallel-js/protocol';
import { encodeTaskData, type JsPayload } from '@ipyparallel-js/protocol/internal';

/** What a {@link RunningTask} stands on. */
export interface RunningTaskOptions {
  readonly msgId: string;
  /** Whether an abort of the task has been asked for: known also while the code never yields. */
  readonly abortAsked: () => boolean;
  readonly send: (payload: JsPayload) => void;
  /** Milliseconds; a monotonic clock. */
  readonly now: () => number;
  /** Calls back after so many milliseconds, and must not keep the process alive. */
  readonly later: (callback: () => void, ms: number) => void;
}

/** How long published data may wait for more, in ms. */
const INTERVAL = 50;
/** Yielded values leave when so many wait. */
const BATCH = 1_000;
/** What is published faster than this waits longer, so that it does not pile up on its way; in bytes per ms. */
const RATE = 100_000;

/** Why the signal of an aborted task is aborted, and what a task that ends by it fails with. */
export class TaskAborted extends Error {
  override readonly name = 'TaskAborted';
  readonly code = 'TASK_ABORTED';
}

/** Why the signal of an interrupted task is aborted. */
export class KeyboardInterrupt extends Error {
  override readonly name = 'KeyboardInterrupt';
}

/**
 * The task that runs, as its code sees it. What it publishes is joined: the first at once, the rest every 50 ms, also out
 * of code that never yields as long as it goes on publishing. Once the task has ended it does nothing any more.
 */
export class RunningTask implements TaskContext {
  readonly msgId: string;
  readonly #options: RunningTaskOptions;
  readonly #controller = new AbortController();
  #pending: { [name: string]: unknown } = {};
  #yielded: unknown[] = [];
  #yieldedBefore = 0;
  #waiting = false;
  #last = Number.NEGATIVE_INFINITY;
  /** How long what left last is on its way at most, in ms. */
  #lasts = 0;
  #armed = false;
  #ended = false;

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
      throw new UsageError('progress is a number between 0 and 1, or { done, total }');
    }
    this.publish({ progress: value });
  };

  readonly publish = (data: Readonly<Record<string, unknown>>): void => {
    if (typeof data !== 'object' || data === null)
      throw new UsageError('publish takes a dict of data by name');
    if (this.#ended) return;
    // Cloned now: what waits must not change, and what cannot be sent fails here and not in a timer.
    for (const [name, value] of Object.entries(data)) {
      Object.defineProperty(this.#pending, name, {
        value: clone(value),
        enumerable: true,
        configurable: true,
      });
    }
    this.#wake();
  };

  /** Publishes a value that the task's generator has yielded; none of those is left out. Gives the value as sent. */
  yielded(value: unknown): unknown {
    const sent = clone(value);
    this.#yielded.push(sent);
    this.#wake();
    return sent;
  }

  /** Looks whether an abort was asked for. */
  checkAbort(): void {
    if (!this.#controller.signal.aborted && this.#options.abortAsked()) {
      this.#controller.abort(new TaskAborted('the task was aborted'));
    }
  }

  /** The running code is being interrupted: what it waits for may end, too. */
  interrupt(): void {
    if (!this.#controller.signal.aborted) {
      this.#controller.abort(new KeyboardInterrupt('the running code was interrupted'));
    }
  }

  /** Whether the task was aborted, and not just interrupted. */
  get aborted(): boolean {
    this.checkAbort();
    return this.#controller.signal.reason instanceof TaskAborted;
  }

  /** Whether this was thrown because the task was aborted: the signal's reason, or an error made of it. */
  endedBy(thrown: unknown): boolean {
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

  /** Sends all that waits. */
  flush(): void {
    if (!this.#waiting || this.#ended) return;
    this.#waiting = false;
    this.#last = this.#options.now();
    const data = this.#pending;
    this.#pending = {};
    if (this.#yielded.length > 0) {
      const values = this.#yielded;
      this.#yielded = [];
      Object.defineProperty(data, 'partial', {
        value: { from: this.#yieldedBefore, values },
        enumerable: true,
      });
      this.#yieldedBefore += values.length;
    }
    const payload = encodeTaskData(data);
    this.#lasts = payload.buffers.reduce((sum, { byteLength }) => sum + byteLength, 0) / RATE;
    this.#options.send(payload);
  }

  /** How long a generator should wait before its next value, in ms: what has left must get away first. */
  get congestion(): number {
    return Math.max(0, this.#last + this.#lasts - this.#options.now());
  }

  /** Sends what waits; nothing after it counts. Gives what went wrong with that, if something did. */
  end(): { readonly thrown: unknown } | undefined {
    try {
      this.flush();
      return undefined;
    } catch (thrown) {
      return { thrown };
    } finally {
      this.#ended = true;
    }
  }

  #wake(): void {
    const { now, later } = this.#options;
    this.#waiting = true;
    const due = this.#last + Math.max(INTERVAL, this.#lasts) - now();
    if (due <= 0 || this.#yielded.length >= BATCH) this.flush();
    else if (!this.#armed) {
      this.#armed = true;
      later(() => {
        // An interrupt may cut this off anywhere: the next call then looks at the clock itself.
        this.#armed = false;
        this.flush();
      }, due);
    }
  }
}

function clone(value: unknown): unknown {
  return typeof value === 'object' || typeof value === 'function' || typeof value === 'symbol'
    ? structuredClone(value)
    : value;
}
