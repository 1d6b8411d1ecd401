/** Everything that an {@link OpaqueValue} tells besides its name. */
export interface OpaqueParts {
  readonly callee: OpaqueValue | null;
  readonly args: readonly unknown[];
  readonly kwargs: unknown;
  readonly state: unknown;
  readonly items: readonly unknown[];
  readonly entries: unknown;
}

/** What an {@link OpaqueValue} stands for. */
export type OpaqueKind = 'reference' | 'instance' | 'function';

/**
 * A Python object that JavaScript has no counterpart of: named, with what its pickle says of it, never made.
 * `reference` is a class or function by name, `function` one that travelled with its code, `instance` anything else.
 */
export class OpaqueValue implements OpaqueParts {
  readonly kind: OpaqueKind;
  /** Module of the class or function, for example `numpy`. */
  readonly module: string;
  /** Name in that module, for example `ndarray`, or `Outer.Inner`. */
  readonly qualname: string;
  /** What Python would call to make it; null for what is not made by a call. */
  readonly callee: OpaqueValue | null = null;
  /** Arguments of that call. */
  readonly args: readonly unknown[] = [];
  /** Keyword arguments of that call, or null. */
  readonly kwargs: unknown = null;
  /** Its attributes, or whatever its class pickles as its state; null without one. */
  readonly state: unknown = null;
  /** Elements, where the class is a kind of list or set. */
  readonly items: readonly unknown[] = [];
  /** Entries, where the class is a kind of dict (a plain object or a Map); null without any. */
  readonly entries: unknown = null;

  constructor(kind: OpaqueKind, module: string, qualname: string, parts?: Partial<OpaqueParts>) {
    this.kind = kind;
    this.module = module;
    this.qualname = qualname;
    if (parts !== undefined) completeOpaque(this, parts);
  }

  /** The Python class or function, `module.qualname`. */
  get name(): string {
    return `${this.module}.${this.qualname}`;
  }

  toString(): string {
    return this.kind === 'instance' ? `<Python ${this.name} object>` : `<Python ${this.name}>`;
  }

  /** The text of `toString`: what is inside may refer back to itself. */
  toJSON(): string {
    return this.toString();
  }
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Fills a value whose parts may refer to it, and closes it. */
export function completeOpaque(value: OpaqueValue, parts: Partial<OpaqueParts>): void {
  Object.freeze(Object.assign(value as Writable<OpaqueValue>, parts));
}
