import { formatWireDate } from '@ipyparallel-js/protocol';

/** The current time, passed as an argument so that tests can replace it. */
export interface Clock {
  now(): Date;
  /** The current time in wire format with microseconds, like the dates of Python peers; a Date has milliseconds only. */
  wireNow(): string;
}

/** Maximum difference between the wall clock and the monotonic clock before they are synchronized, in ms. */
const MAX_DRIFT = 2;

/** The clock of this machine. */
export function systemClock(): Clock {
  let offset = performance.timeOrigin;
  return {
    now: () => new Date(),
    wireNow() {
      const wall = Date.now();
      let time = offset + performance.now();
      // The wall clock has millisecond resolution, but only it follows corrections of the system time.
      if (time < wall - MAX_DRIFT || time > wall + 1 + MAX_DRIFT) {
        offset = wall - performance.now();
        time = wall;
      }
      const millis = Math.floor(time);
      const micros = Math.floor((time - millis) * 1000);
      return formatWireDate(new Date(millis)).replace('000Z', `${String(micros).padStart(3, '0')}Z`);
    },
  };
}
