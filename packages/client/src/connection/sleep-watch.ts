const TICK_MS = 1_000;
/** A tick that comes so much too late means that the machine, or this process, has slept. */
const SLEPT_MS = 5_000;

/** Notices that this process did not run for some seconds: a laptop that slept, a process that was stopped. */
export class SleepWatch {
  readonly #timer: NodeJS.Timeout;
  #last = Date.now();

  constructor(onWoken: () => void) {
    // The clock of the day: the other one stands still while a machine sleeps.
    this.#timer = setInterval(() => {
      const now = Date.now();
      const late = now - this.#last - TICK_MS;
      this.#last = now;
      if (late > SLEPT_MS) onWoken();
    }, TICK_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
