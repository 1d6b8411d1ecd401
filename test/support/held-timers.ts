// Holds the timers of certain delays in this process until the test fires them, for a timeout that must not end before an
// event, however slow the machine is. All other timers run as usual.
//
//     using timers = new HeldTimers(4_000);
//     …
//     timers.fire(4_000);
import { vi } from 'vitest';

interface HeldTimer {
  readonly delay: number;
  readonly run: () => void;
}

/** A delay that is longer than any test, in ms. */
const NEVER_MS = 2 ** 31 - 1;

export class HeldTimers {
  readonly #delays: ReadonlySet<number>;
  readonly #held = new Map<unknown, HeldTimer>();
  readonly #restore: () => void;

  /** Holds the timers with exactly these delays, in ms. */
  constructor(...delays: readonly number[]) {
    this.#delays = new Set(delays);
    const { setTimeout: start, clearTimeout: clear } = globalThis;
    const hold = (callback: (...args: unknown[]) => void, delay = 0, ...args: unknown[]): NodeJS.Timeout => {
      if (!this.#delays.has(delay)) return start(callback, delay, ...args);
      const timer = start(() => undefined, NEVER_MS);
      this.#held.set(timer, { delay, run: () => callback(...args) });
      return timer;
    };
    const started = vi.spyOn(globalThis, 'setTimeout').mockImplementation(hold as typeof setTimeout);
    const cleared = vi.spyOn(globalThis, 'clearTimeout').mockImplementation((timer) => {
      this.#held.delete(timer);
      clear(timer);
    });
    this.#restore = () => {
      started.mockRestore();
      cleared.mockRestore();
      for (const timer of this.#held.keys()) clear(timer as NodeJS.Timeout);
    };
  }

  /** The number of held timers with this delay. */
  count(delay: number): number {
    return [...this.#held.values()].filter((timer) => timer.delay === delay).length;
  }

  /** Fires the held timers with this delay. @throws {Error} when there is none */
  fire(delay: number): void {
    const due = [...this.#held].filter(([, timer]) => timer.delay === delay);
    if (due.length === 0) throw new Error(`no timer of ${delay} ms is held`);
    for (const [timer, { run }] of due) {
      clearTimeout(timer as NodeJS.Timeout);
      run();
    }
  }

  [Symbol.dispose](): void {
    this.#restore();
  }
}
