import type { MessageSocket } from '@ipyparallel-js/wire';

/** What a {@link Heart} stands on. */
export interface HeartOptions {
  /** The controller's beat, in ms. */
  readonly period: number;
  /** So many checks in a row without a beat end the controller's life for us; 0 for no check. */
  readonly maxMisses: number;
  readonly onMiss: (misses: number, checkPeriod: number) => void;
  /** The controller is gone; called once. */
  readonly onSilence: (silentMs: number) => void;
}

/** Checks come a little slower than beats, as in Python's engines, so that none is missed by a hair. */
const GRACE = 500;

/** Echoes the controller's heartbeats, and notices when they stay away. */
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
      const checkPeriod = options.period + GRACE;
      this.#timer = setInterval(() => this.#check(checkPeriod), checkPeriod);
    }
  }

  /** A ping came: the same frames go back, unless the engine is not to be taken for ready. */
  beat(frames: Buffer[], ready = true): void {
    this.#beats++;
    if (ready) this.#pong.send(frames);
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
    this.#options.onSilence(this.#misses * checkPeriod);
  }
}
