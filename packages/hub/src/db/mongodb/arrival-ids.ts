import { randomBytes } from 'node:crypto';

/**
 * Makes `_id`s in the order of arrival: an ObjectId's layout (seconds, five bytes of the process, a counter), with time
 * and counter that never run backwards, so that the index on `_id` is the order of arrival.
 */
export class ArrivalIds {
  readonly #process = randomBytes(5).toString('hex');
  #seconds: number;
  #counter = 0;

  /** `last` is the greatest second in use. */
  constructor(last: number) {
    this.#seconds = last + 1;
  }

  /** 24 hexadecimal digits. */
  next(now = Date.now()): string {
    const seconds = Math.floor(now / 1000);
    if (seconds > this.#seconds || this.#counter > 0xffffff) {
      this.#seconds = Math.max(seconds, this.#seconds + (this.#counter > 0xffffff ? 1 : 0));
      this.#counter = 0;
    }
    const time = this.#seconds.toString(16).padStart(8, '0').slice(-8);
    return time + this.#process + (this.#counter++).toString(16).padStart(6, '0');
  }
}
