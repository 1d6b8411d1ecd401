export interface HeartMonitorOptions {
  /** The time between two heartbeats, in ms. */
  readonly period: number;
  /** Maximum number of heartbeats that an engine may miss in a row. */
  readonly maxMisses: number;
  /** Sends a ping to all engines. */
  readonly ping: (payload: string) => void;
  readonly onNewHeart: (uuid: string) => void;
  readonly onStoppedHeart: (uuid: string) => void;
}

/** How often engines are pinged while a registration waits for its first beat, in ms. */
const REGISTRATION_PERIOD = 100;

/**
 * Monitors the heartbeats of engines: pings all engines, and expects each known one to return the payload. It ignores
 * engines that were not announced by {@link awaitHeart}.
 */
export class HeartMonitor {
  readonly #options: HeartMonitorOptions;
  readonly #misses = new Map<string, number>();
  readonly #awaitedUuids = new Set<string>();
  readonly #responses = new Set<string>();
  #beats = 0;
  #timer: NodeJS.Timeout | undefined;
  #registrationTimer: NodeJS.Timeout | undefined;

  constructor(options: HeartMonitorOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.beat(), this.#options.period);
  }

  stop(): void {
    clearInterval(this.#timer);
    clearInterval(this.#registrationTimer);
  }

  /** Waits for the first beat of a registering engine, with more frequent pings until it arrives. */
  awaitHeart(uuid: string): void {
    this.#awaitedUuids.add(uuid);
    this.#registrationTimer ??= setInterval(
      () => this.#ping(),
      Math.min(REGISTRATION_PERIOD, this.#options.period),
    );
  }

  forgetHeart(uuid: string): void {
    this.#misses.delete(uuid);
    this.#responses.delete(uuid);
    this.#stopAwaiting(uuid);
  }

  /** Counts the engines that missed the last ping, and sends the next. */
  beat(): void {
    for (const [uuid, misses] of this.#misses) {
      if (this.#responses.has(uuid)) {
        this.#misses.set(uuid, 0);
      } else if (misses + 1 > this.#options.maxMisses) {
        this.forgetHeart(uuid);
        this.#options.onStoppedHeart(uuid);
      } else {
        this.#misses.set(uuid, misses + 1);
      }
    }
    this.#responses.clear();
    this.#beats++;
    this.#ping();
  }

  /** Handles the reply to a ping. The payloads of the last two pings are valid. */
  handlePong(uuid: string, payload: string): void {
    if (payload !== String(this.#beats) && payload !== String(this.#beats - 1)) return;
    if (this.#awaitedUuids.has(uuid)) {
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
    this.#awaitedUuids.delete(uuid);
    if (this.#awaitedUuids.size > 0) return;
    clearInterval(this.#registrationTimer);
    this.#registrationTimer = undefined;
  }
}
