const TICK_MS = 1_000;
/** A tick that is later than this means that the machine or this process has slept. */
const MIN_SLEEP_MS = 5_000;

/** Detects that this process did not run for some seconds: a laptop slept, or the process was stopped. */
export class SleepWatch {
  readonly #timer: NodeJS.Timeout;
  #last = Date.now();

  constructor(onWoken: () => void) {
    // Date.now() is needed: performance.now() stands still while the machine sleeps.
    this.#timer = setInterval(() => {
      const now = Date.now();
      const late = now - this.#last - TICK_MS;
      this.#last = now;
      if (late > MIN_SLEEP_MS) onWoken();
    }, TICK_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
