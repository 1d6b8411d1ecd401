// Stops the clock of deadlines and grace periods (`performance.now`) in this process: none of them ends while the test waits
// for an event, however slow the machine is. Timers run as usual, but a deadline that has not passed starts its timer again.
//
//     const clock = stopClock();
//     …
//     clock.advance(1_500);
import { onTestFinished, vi } from 'vitest';

export interface StoppedClock {
  /** Moves the clock forward, in ms. */
  advance(ms: number): void;
}

/** Stops the clock until the end of the test. */
export function stopClock(): StoppedClock {
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  return { advance: (ms) => void vi.advanceTimersByTime(ms) };
}
