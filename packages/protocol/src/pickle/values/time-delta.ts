import { UsageError } from '../../common/errors.js';

const DAY_SECONDS = 86_400;
const MAX_DAYS = 999_999_999;

/** A Python `datetime.timedelta`, normalized as in Python: seconds and microseconds are never negative. */
export class TimeDelta {
  readonly days: number;
  /** 0 to 86,399. */
  readonly seconds: number;
  /** 0 to 999,999. */
  readonly microseconds: number;

  /** @throws {UsageError} when a part is not an integer or the days exceed Python's limit of 999,999,999 */
  constructor(days: number, seconds = 0, microseconds = 0) {
    if (![days, seconds, microseconds].every(Number.isSafeInteger)) {
      throw new UsageError(
        `days, seconds and microseconds of a TimeDelta must be integers, got ${[days, seconds, microseconds].map(String).join(', ')}`,
      );
    }
    const wholeSeconds = seconds + Math.floor(microseconds / 1e6);
    this.days = days + Math.floor(wholeSeconds / DAY_SECONDS);
    this.seconds = wholeSeconds - Math.floor(wholeSeconds / DAY_SECONDS) * DAY_SECONDS;
    this.microseconds = microseconds - Math.floor(microseconds / 1e6) * 1e6;
    if (Math.abs(this.days) > MAX_DAYS)
      throw new UsageError(`a TimeDelta must have at most ${MAX_DAYS} days, got ${this.days}`);
  }

  /** Makes a TimeDelta from milliseconds, rounded to the microsecond. */
  static fromMs(ms: number): TimeDelta {
    const seconds = Math.floor(ms / 1000);
    return new TimeDelta(0, seconds, Math.round((ms - seconds * 1000) * 1000));
  }

  /** The duration in milliseconds, with microseconds as the fraction. */
  get ms(): number {
    return (this.days * DAY_SECONDS + this.seconds) * 1000 + this.microseconds / 1000;
  }

  /** Milliseconds, so that a TimeDelta can be added to the time of a Date. */
  valueOf(): number {
    return this.ms;
  }
}
