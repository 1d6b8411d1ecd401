/** A JSON object as it came off the wire. */
export type Dict = { readonly [key: string]: unknown };

/** Whether a value is a plain JSON-like object: not null, not an array, not a Date, Buffer, Map or class instance. */
export function isDict(value: unknown): value is Dict {
  if (typeof value !== 'object' || value === null) return false;
  const proto: unknown = Object.getPrototypeOf(value);
  return proto === Object.prototype || proto === null;
}

/** An own property of a dict, or undefined; `__proto__` and inherited names are never followed. */
export function getOwn(dict: Dict, key: string): unknown {
  return Object.hasOwn(dict, key) ? dict[key] : undefined;
}

/** A string property of a dict, or undefined when missing or of another type. */
export function getOwnString(dict: Dict, key: string): string | undefined {
  const value = getOwn(dict, key);
  return typeof value === 'string' ? value : undefined;
}
