const TICK_MS = 1_000;
/** A tick that is later than this means that the machine or this process has slept. */
const MIN_SLEEP_MS = 5_000;

/** Detects that this process did not run for some seconds: a laptop slept, or the process was stopped. */
export class SleepWatch {
  readonly #timer: NodeJS.Timeout;
  #lastTick = Date.now();

  constructor(onWake: () => void) {
    // Date.now() is needed: performance.now() stands still while the machine sleeps.
    this.#timer = setInterval(() => {
      const now = Date.now();
      const delay = now - this.#lastTick - TICK_MS;
      this.#lastTick = now;
      if (delay > MIN_SLEEP_MS) onWake();
    }, TICK_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
