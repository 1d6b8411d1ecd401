const tuples = new WeakSet<readonly unknown[]>();

/** Makes a frozen array that is sent as a Python tuple; other arrays are sent as lists. */
export function tuple<const T extends readonly unknown[]>(...items: T): Readonly<T> {
  tuples.add(items);
  return Object.freeze(items);
}

export function isTuple(value: readonly unknown[]): boolean {
  return tuples.has(value);
}
