/** A standard stream's name. */
export type StreamName = 'stdout' | 'stderr';

/** What an {@link OutputBatcher} stands on. */
export interface OutputBatcherOptions {
  readonly emit: (name: StreamName, text: string) => void;
  /** Milliseconds; a monotonic clock. */
  readonly now: () => number;
  /** Calls back after so many milliseconds, and must not keep the process alive. */
  readonly later: (callback: () => void, ms: number) => void;
  /** How long output may wait, in ms; 50 by default. */
  readonly interval?: number;
  /** How many characters may wait; 65,536 by default. */
  readonly limit?: number;
}

/**
 * Joins writes into few messages: what was written leaves after 50 ms at the latest, also out of code that never
 * yields as long as it goes on writing. The order across both streams is kept.
 */
export class OutputBatcher {
  readonly #options: Required<OutputBatcherOptions>;
  #pending: { readonly name: StreamName; text: string }[] = [];
  #size = 0;
  #since = 0;
  #armed = false;

  constructor(options: OutputBatcherOptions) {
    this.#options = { interval: 50, limit: 65_536, ...options };
  }

  write(name: StreamName, text: string): void {
    if (text === '') return;
    const { now, later, interval, limit } = this.#options;
    const last = this.#pending.at(-1);
    if (last === undefined) this.#since = now();
    if (last?.name === name) last.text += text;
    else this.#pending.push({ name, text });
    this.#size += text.length;
    if (this.#size >= limit || now() - this.#since >= interval) this.flush();
    else if (!this.#armed) {
      this.#armed = true;
      later(() => this.flush(), interval);
    }
  }

  flush(): void {
    // An interrupt may have cut the timer's callback off at any point: nothing here relies on its having run.
    this.#armed = false;
    const pending = this.#pending;
    this.#pending = [];
    this.#size = 0;
    for (const { name, text } of pending) this.#options.emit(name, text);
  }
}
