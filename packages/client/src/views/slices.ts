/** How long a slice of work may keep the event loop from anything else, in ms. */
const SLICE_MS = 8;

/** Does something for each number below `count`, in order: at once for as long as a slice, the rest between other events. */
export function inSlices(count: number, each: (index: number) => void): void {
  let next = 0;
  const slice = (): void => {
    const end = performance.now() + SLICE_MS;
    while (next < count) {
      each(next++);
      if (next < count && performance.now() >= end) {
        setImmediate(slice);
        return;
      }
    }
  };
  slice();
}
