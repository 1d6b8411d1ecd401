/** A JSON object from the wire; its values are not checked. */
export type Dict = { readonly [key: string]: unknown };

/** Whether a value is a plain object, that is, neither null nor an array, a Date, a Buffer, a Map or a class instance. */
export function isDict(value: unknown): value is Dict {
  if (typeof value !== 'object' || value === null) return false;
  const proto: unknown = Object.getPrototypeOf(value);
  return proto === Object.prototype || proto === null;
}

/** Reads an own property; inherited names and `__proto__` are undefined. */
export function getOwn(dict: Dict, key: string): unknown {
  return Object.hasOwn(dict, key) ? dict[key] : undefined;
}

/** Reads an own string property; undefined when it is missing or not a string. */
export function getOwnString(dict: Dict, key: string): string | undefined {
  const value = getOwn(dict, key);
  return typeof value === 'string' ? value : undefined;
}
