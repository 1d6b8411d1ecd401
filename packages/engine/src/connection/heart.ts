import type { MessageSocket } from '@ipyparallel-js/wire';

export interface HeartOptions {
  /** The period of the controller's heartbeats, in ms. */
  readonly period: number;
  /** How many checks in a row without a heartbeat mean that the controller is lost; 0 disables the check. */
  readonly maxMisses: number;
  readonly onMiss: (misses: number, checkPeriod: number) => void;
  /** Called once, when the controller is lost; `elapsed` is the time without a heartbeat, in ms. */
  readonly onControllerLost: (elapsed: number) => void;
}

/** How much longer than the heartbeat period the check period is, in ms, as in Python's engines. */
const CHECK_MARGIN = 500;

/** Echoes the controller's heartbeats and detects when they stop. */
export class Heart {
  readonly #options: HeartOptions;
  readonly #pong: MessageSocket;
  readonly #timer: NodeJS.Timeout | undefined;
  #beats = 0;
  #misses = 0;

  constructor(pong: MessageSocket, options: HeartOptions) {
    this.#pong = pong;
    this.#options = options;
    if (options.maxMisses > 0) {
      const checkPeriod = options.period + CHECK_MARGIN;
      this.#timer = setInterval(() => this.#check(checkPeriod), checkPeriod);
    }
  }

  /** Handles a ping: sends the same frames back unless `reply` is false. */
  beat(frames: Buffer[], reply = true): void {
    this.#beats++;
    if (reply) this.#pong.send(frames);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #check(checkPeriod: number): void {
    if (this.#beats > 0) {
      this.#beats = 0;
      this.#misses = 0;
      return;
    }
    this.#misses++;
    this.#options.onMiss(this.#misses, checkPeriod);
    if (this.#misses < this.#options.maxMisses) return;
    this.stop();
    this.#options.onControllerLost(this.#misses * checkPeriod);
  }
}
