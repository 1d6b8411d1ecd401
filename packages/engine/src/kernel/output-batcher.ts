export type StreamName = 'stdout' | 'stderr';

export interface OutputBatcherOptions {
  readonly emit: (name: StreamName, text: string) => void;
  /** Milliseconds; a monotonic clock. */
  readonly now: () => number;
  /** Calls `callback` after `ms` milliseconds; must not keep the process alive. */
  readonly schedule: (callback: () => void, ms: number) => void;
  /** How long output may be buffered, in ms; 50 by default. */
  readonly interval?: number;
  /** How many characters may be buffered; 65,536 by default. */
  readonly limit?: number;
}

/**
 * Joins writes into few messages. Output is sent within 50 ms, also from code that never yields but continues to write.
 * Preserves the order across both streams.
 */
export class OutputBatcher {
  readonly #options: Required<OutputBatcherOptions>;
  #pendingWrites: { readonly name: StreamName; text: string }[] = [];
  #size = 0;
  #bufferedSince = 0;
  #isTimerSet = false;

  constructor(options: OutputBatcherOptions) {
    this.#options = { interval: 50, limit: 65_536, ...options };
  }

  write(name: StreamName, text: string): void {
    if (text === '') return;
    const { now, schedule, interval, limit } = this.#options;
    const last = this.#pendingWrites.at(-1);
    if (last === undefined) this.#bufferedSince = now();
    if (last?.name === name) last.text += text;
    else this.#pendingWrites.push({ name, text });
    this.#size += text.length;
    if (this.#size >= limit || now() - this.#bufferedSince >= interval) this.flush();
    else if (!this.#isTimerSet) {
      this.#isTimerSet = true;
      schedule(() => this.flush(), interval);
    }
  }

  flush(): void {
    // An interrupt may terminate the timer's callback at any point, so nothing here relies on its completion.
    this.#isTimerSet = false;
    const pending = this.#pendingWrites;
    this.#pendingWrites = [];
    this.#size = 0;
    for (const { name, text } of pending) this.#options.emit(name, text);
  }
}
