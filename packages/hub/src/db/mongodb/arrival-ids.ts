import { randomBytes } from 'node:crypto';

/**
 * Generates `_id`s that sort in the order of arrival. They have the layout of an ObjectId (seconds, five bytes of the
 * process, a counter), but time and counter never decrease.
 */
export class ArrivalIds {
  readonly #processId = randomBytes(5).toString('hex');
  #seconds: number;
  #counter = 0;

  /** @param last the greatest second in an existing `_id` */
  constructor(last: number) {
    this.#seconds = last + 1;
  }

  /** Returns the next id, 24 hexadecimal digits. */
  next(now = Date.now()): string {
    const seconds = Math.floor(now / 1000);
    if (seconds > this.#seconds || this.#counter > 0xffffff) {
      this.#seconds = Math.max(seconds, this.#seconds + (this.#counter > 0xffffff ? 1 : 0));
      this.#counter = 0;
    }
    const time = this.#seconds.toString(16).padStart(8, '0').slice(-8);
    return time + this.#processId + (this.#counter++).toString(16).padStart(6, '0');
  }
}
