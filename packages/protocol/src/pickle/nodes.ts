import { UnpickleError } from './unpickle-error.js';

// What the machine builds while it runs. A dict cannot choose between object and Map, nor an instance be
// complete, before the last opcode: `finish.ts` turns these into what the user sees. Lists and tuples are
// arrays from the start.

/** Longest name of a module or class; a pickle can make them longer with each call. */
const MAX_NAME_LENGTH = 1000;

/** A search of one large dict, repeated for each of many instances that share it, would never end. */
const MAX_ATTRIBUTES = 64;

export class PyDict {
  keys: unknown[] = [];
  values: unknown[] = [];
  /** What it became, where it was empty. */
  made: object | undefined = undefined;

  set(key: unknown, value: unknown): void {
    this.keys.push(key);
    this.values.push(value);
  }

  /** Key, value, key, value, … An array that grows by itself takes room for many, so the first ones are made to fit. */
  setAll(flat: readonly unknown[]): void {
    const count = flat.length / 2;
    if (this.keys.length === 0 && count > 0) {
      this.keys = Array.from({ length: count }, (_, i) => flat[2 * i]);
      this.values = Array.from({ length: count }, (_, i) => flat[2 * i + 1]);
    } else for (let i = 0; i < flat.length; i += 2) this.set(flat[i], flat[i + 1]);
  }

  /** An attribute, where the dict is the state of an instance; of no use in a dict that is large. */
  attribute(name: string): unknown {
    if (this.keys.length > MAX_ATTRIBUTES) return undefined;
    const at = this.keys.lastIndexOf(name);
    return at < 0 ? undefined : this.values[at];
  }
}

export class PySet {
  readonly items: unknown[];
  /** What it became, where it was empty. */
  made: object | undefined = undefined;

  constructor(items: unknown[]) {
    this.items = items;
  }
}

// Names by which protocols 0 to 2 call what Python 3 has elsewhere.
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

/** A class or function by its name. It is never looked up. */
export class PyGlobal {
  readonly module: string;
  readonly qualname: string;
  made: object | undefined = undefined;

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

/** What calling a class or function would have made: the call, and what was put into the result later. */
export class PyInstance {
  readonly callee: Callee;
  /** The class it is an instance of, or the function that would have made it. */
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
