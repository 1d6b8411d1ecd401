/** The content of an {@link OpaqueValue} besides its name. */
export interface OpaqueParts {
  readonly callee: OpaqueValue | null;
  readonly args: readonly unknown[];
  readonly kwargs: unknown;
  readonly state: unknown;
  readonly items: readonly unknown[];
  readonly entries: unknown;
}

/** The kind of Python object that an {@link OpaqueValue} represents. */
export type OpaqueKind = 'reference' | 'instance' | 'function';

/**
 * A description of a Python object without a JavaScript counterpart: its class and the content of its pickle. Its kind
 * is `reference` for a class or function named in the pickle, `function` for one sent with its code, else `instance`.
 */
export class OpaqueValue implements OpaqueParts {
  readonly kind: OpaqueKind;
  /** Module of the class or function, such as `numpy`. */
  readonly module: string;
  /** Name in that module, such as `ndarray` or `Outer.Inner`. */
  readonly qualname: string;
  /** The class or function that Python calls to make the object; null if no call makes it. */
  readonly callee: OpaqueValue | null = null;
  /** Arguments of that call. */
  readonly args: readonly unknown[] = [];
  /** Keyword arguments of that call, or null. */
  readonly kwargs: unknown = null;
  /** The object's attributes, or the state that its class pickles; null if there is none. */
  readonly state: unknown = null;
  /** Elements, if the class is a kind of list or set. */
  readonly items: readonly unknown[] = [];
  /** Entries as a plain object or a Map, if the class is a kind of dict; null if there are none. */
  readonly entries: unknown = null;

  constructor(kind: OpaqueKind, module: string, qualname: string, parts?: Partial<OpaqueParts>) {
    this.kind = kind;
    this.module = module;
    this.qualname = qualname;
    if (parts !== undefined) completeOpaque(this, parts);
  }

  /** Full name of the Python class or function, `module.qualname`. */
  get name(): string {
    return `${this.module}.${this.qualname}`;
  }

  toString(): string {
    return this.kind === 'instance' ? `<Python ${this.name} object>` : `<Python ${this.name}>`;
  }

  /** Returns the text of `toString`, because the parts may be cyclic. */
  toJSON(): string {
    return this.toString();
  }
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Fills a value whose parts may refer to it, and freezes it. */
export function completeOpaque(value: OpaqueValue, parts: Partial<OpaqueParts>): void {
  Object.freeze(Object.assign(value as Writable<OpaqueValue>, parts));
}
