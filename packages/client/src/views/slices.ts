/** How long a slice of work may keep the event loop from anything else, in ms. */
const SLICE_MS = 8;

/**
 * Does something for each number below `count`, in order: at once for as long as a slice, the rest between other events.
 * Gives a promise of its end when it has not ended by then.
 */
export function inSlices(count: number, each: (index: number) => void): Promise<void> | undefined {
  let next = 0;
  const slice = (): boolean => {
    const end = performance.now() + SLICE_MS;
    while (next < count) {
      each(next++);
      if (next < count && performance.now() >= end) return false;
    }
    return true;
  };
  if (slice()) return undefined;
  return new Promise((resolve) => {
    const again = (): void => {
      if (slice()) resolve();
      else setImmediate(again);
    };
    setImmediate(again);
  });
}
