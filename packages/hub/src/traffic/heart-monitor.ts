/** What a heart monitor is connected to. */
export interface HeartMonitorOptions {
  /** Between two beats, in ms. */
  readonly period: number;
  /** More missed beats than this in a row, and the heart has stopped. */
  readonly maxMisses: number;
  /** Sends a ping to all hearts. */
  readonly ping: (payload: string) => void;
  readonly onNewHeart: (uuid: string) => void;
  readonly onStoppedHeart: (uuid: string) => void;
}

/** How often hearts are pinged while a registration waits for its first beat. */
const EAGER_PERIOD = 100;

/**
 * Feels the pulse of engines: pings all, and expects each heart that it knows to send the same payload back.
 * Hearts that nobody announced are ignored.
 */
export class HeartMonitor {
  readonly #options: HeartMonitorOptions;
  readonly #misses = new Map<string, number>();
  readonly #awaited = new Set<string>();
  readonly #responses = new Set<string>();
  #beats = 0;
  #timer: NodeJS.Timeout | undefined;
  #eager: NodeJS.Timeout | undefined;

  constructor(options: HeartMonitorOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.beat(), this.#options.period);
  }

  stop(): void {
    clearInterval(this.#timer);
    clearInterval(this.#eager);
  }

  /** Expects the first beat of an engine that is registering; pings oftener until it has come. */
  await(uuid: string): void {
    this.#awaited.add(uuid);
    this.#eager ??= setInterval(() => this.#ping(), Math.min(EAGER_PERIOD, this.#options.period));
  }

  forget(uuid: string): void {
    this.#misses.delete(uuid);
    this.#responses.delete(uuid);
    this.#stopAwaiting(uuid);
  }

  /** One beat: counts who did not answer the last one, and sends the next. */
  beat(): void {
    for (const [uuid, misses] of this.#misses) {
      if (this.#responses.has(uuid)) {
        this.#misses.set(uuid, 0);
      } else if (misses + 1 > this.#options.maxMisses) {
        this.forget(uuid);
        this.#options.onStoppedHeart(uuid);
      } else {
        this.#misses.set(uuid, misses + 1);
      }
    }
    this.#responses.clear();
    this.#beats++;
    this.#ping();
  }

  /** A heart answered. The payload of this beat counts, and that of the one before. */
  pong(uuid: string, payload: string): void {
    if (payload !== String(this.#beats) && payload !== String(this.#beats - 1)) return;
    if (this.#awaited.has(uuid)) {
      this.#stopAwaiting(uuid);
      this.#misses.set(uuid, 0);
      this.#options.onNewHeart(uuid);
    }
    if (this.#misses.has(uuid)) this.#responses.add(uuid);
  }

  #ping(): void {
    this.#options.ping(String(this.#beats));
  }

  #stopAwaiting(uuid: string): void {
    this.#awaited.delete(uuid);
    if (this.#awaited.size > 0) return;
    clearInterval(this.#eager);
    this.#eager = undefined;
  }
}
