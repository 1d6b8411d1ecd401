import { UnpickleError } from './unpickle-error.js';

// The machine builds these nodes while it runs. A dict or an instance can change until the last opcode, which decides
// whether a dict becomes an object or a Map; `resolve-nodes.ts` then turns nodes into values. Lists and tuples are arrays
// from the start.

/** Maximum length of a module and class name together, because each call of `getattr` can lengthen a name. */
const MAX_NAME_LENGTH = 1000;

/** Larger dicts are not searched, because many instances may share one dict and each would search it. */
const MAX_ATTRIBUTES = 64;

export class PyDict {
  keys: unknown[] = [];
  values: unknown[] = [];
  /** The value of an empty node, shared by all references to it. */
  resolved: object | undefined = undefined;

  set(key: unknown, value: unknown): void {
    this.keys.push(key);
    this.values.push(value);
  }

  /** `flat` is key, value, key, value, … The first arrays are allocated at their exact size: growing arrays over-allocate. */
  setAll(flat: readonly unknown[]): void {
    const count = flat.length / 2;
    if (this.keys.length === 0 && count > 0) {
      this.keys = Array.from({ length: count }, (_, i) => flat[2 * i]);
      this.values = Array.from({ length: count }, (_, i) => flat[2 * i + 1]);
    } else for (let i = 0; i < flat.length; i += 2) this.set(flat[i], flat[i + 1]);
  }

  /** An attribute by name, if this dict is the state of an instance; undefined in a dict with too many entries. */
  attribute(name: string): unknown {
    if (this.keys.length > MAX_ATTRIBUTES) return undefined;
    const at = this.keys.lastIndexOf(name);
    return at < 0 ? undefined : this.values[at];
  }
}

export class PySet {
  readonly items: unknown[];
  /** The value of an empty node, shared by all references to it. */
  resolved: object | undefined = undefined;

  constructor(items: unknown[]) {
    this.items = items;
  }
}

// Protocols 0 to 2 use Python 2's names for these modules and classes.
const PYTHON_2_MODULES: ReadonlyMap<string, string> = new Map([
  ['__builtin__', 'builtins'],
  ['copy_reg', 'copyreg'],
  ['exceptions', 'builtins'],
]);
const PYTHON_2_BUILTINS: ReadonlyMap<string, string> = new Map([
  ['unicode', 'str'],
  ['long', 'int'],
  ['xrange', 'range'],
]);

/** A class or function by its name, which is never looked up. */
export class PyGlobal {
  readonly module: string;
  readonly qualname: string;
  resolved: object | undefined = undefined;

  constructor(module: string, qualname: string) {
    if (module.length + qualname.length > MAX_NAME_LENGTH) {
      throw new UnpickleError(`the name of a class or function is longer than ${MAX_NAME_LENGTH} characters`);
    }
    this.module = PYTHON_2_MODULES.get(module) ?? module;
    this.qualname = module === '__builtin__' ? (PYTHON_2_BUILTINS.get(qualname) ?? qualname) : qualname;
  }

  get name(): string {
    return `${this.module}.${this.qualname}`;
  }
}

export type Callee = PyGlobal | PyInstance;

export function isCallee(value: unknown): value is Callee {
  return value instanceof PyGlobal || value instanceof PyInstance;
}

/** A recorded call of a class or function, with the state and elements that later opcodes added to its result. */
export class PyInstance {
  readonly callee: Callee;
  /** The class of the result, or the called function if the class is unknown. */
  readonly type: PyGlobal;
  readonly args: unknown[];
  readonly kwargs: unknown;
  state: unknown = null;
  readonly items: unknown[] = [];
  readonly entries = new PyDict();

  constructor(callee: Callee, type: PyGlobal, args: unknown[], kwargs: unknown) {
    this.callee = callee;
    this.type = type;
    this.args = args;
    this.kwargs = kwargs;
  }
}
