const tuples = new WeakSet<readonly unknown[]>();

/** An array that is a tuple in Python, where other arrays become lists. It is frozen. */
export function tuple<const T extends readonly unknown[]>(...items: T): Readonly<T> {
  tuples.add(items);
  return Object.freeze(items);
}

export function isTuple(value: readonly unknown[]): boolean {
  return tuples.has(value);
}
