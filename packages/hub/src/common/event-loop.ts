/** Resolves in the next turn of the event loop, so that long work does not block the thread. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
