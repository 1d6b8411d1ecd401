import { formatWireDate } from '@ipyparallel-js/protocol';

/** What time it is; an argument of whoever needs to know. */
export interface Clock {
  now(): Date;
  /** The same as the wire writes it, with six digits: a Date has three, and peers of ours write all six. */
  exact(): string;
}

/** How far the two clocks below may drift apart before they are compared again, in ms. */
const MAX_DRIFT = 2;

/** This machine's time. */
export function systemClock(): Clock {
  let offset = performance.timeOrigin;
  return {
    now: () => new Date(),
    exact() {
      const wall = Date.now();
      let time = offset + performance.now();
      // The wall clock has whole milliseconds only, but it is the one that is set right.
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
