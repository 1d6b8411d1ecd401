import { getOwn, isDict } from '../common/dict.js';
import { setOwn } from './finish.js';
import { readCannedArray } from './numpy/read-numpy.js';
import { OpaqueValue } from './opaque-value.js';
import { type Budget, COST } from './pickle-limits.js';
import { readWithin } from './read-pickle.js';
import { UnpickleError } from './unpickle-error.js';

// ipyparallel "cans" what a pickle cannot hold (functions) or should not (large bytes, arrays): the pickle has an
// object of `ipyparallel.serialize.canning` in its place, whose `buffers` may lack those that travel as frames.

const OURS = 'ipyparallel.serialize.canning';
const CANNING_MODULES: ReadonlySet<string> = new Set([
  OURS,
  // ipykernel's copy of the same classes
  'ipykernel.pickleutil',
]);

/** Gives the next frame of the message. */
export type NextFrame = () => Uint8Array;

type Attributes = Readonly<Record<string, unknown>>;
type Uncanner = (attributes: Attributes, buffers: readonly unknown[], opener: CanOpener) => unknown;

function isCanned(value: unknown): value is OpaqueValue {
  return value instanceof OpaqueValue && value.kind === 'instance' && CANNING_MODULES.has(value.module);
}

/** Opens the canned objects of one message. */
export class CanOpener {
  /** What the whole message may use: canned objects can share parts, and each is opened apart. */
  readonly budget: Budget;
  readonly #nextFrame: NextFrame;
  /** What was opened, or is being opened: then it stands for itself. */
  readonly #opened = new Map<OpaqueValue, unknown>();

  constructor(budget: Budget, nextFrame: NextFrame) {
    this.budget = budget;
    this.#nextFrame = nextFrame;
  }

  /** The value that was canned; anything else is returned as it is. `buffers` are those that a partial holds for it. */
  open(value: unknown, buffers?: readonly unknown[]): unknown {
    if (!isCanned(value)) return value;
    if (this.#opened.has(value)) return this.#opened.get(value);
    const uncan = uncanners.get(value.qualname);
    if (uncan === undefined || !isDict(value.state)) return value;
    this.#opened.set(value, value);
    const opened = uncan(value.state, buffers ?? this.#restoreBuffers(value.state), this);
    this.#opened.set(value, opened);
    return opened;
  }

  #restoreBuffers(attributes: Attributes): readonly unknown[] {
    const buffers = getOwn(attributes, 'buffers');
    if (!Array.isArray(buffers)) return [];
    this.budget.spend(COST.element * buffers.length);
    return buffers.map((buffer: unknown) => (buffer === null ? this.#nextFrame() : buffer));
  }

  /** A list, set or dict is canned element by element, and no deeper. */
  openElements(value: unknown): unknown {
    if (Array.isArray(value)) {
      value.forEach((element: unknown, i) => {
        value[i] = this.open(element);
      });
    } else if (value instanceof Set) {
      const elements = [...value].map((element) => this.open(element));
      value.clear();
      for (const element of elements) value.add(element);
    } else if (value instanceof Map) {
      // Sent in the order of its sorted keys, which a Map keeps.
      for (const [key, element] of value) value.set(key, this.open(element));
    } else if (isDict(value)) {
      // An object does not keep it: '10' stands before '2' in Python, after it in JavaScript.
      const canned = Object.keys(value).filter((key) => isCanned(value[key]));
      for (const key of sortLikePython(canned)) {
        setOwn(value as Record<string, unknown>, key, this.open(value[key]));
      }
    } else return this.open(value);
    return value;
  }
}

/** In the order of code points. JavaScript's own puts what is past U+FFFF before U+E000; UTF-8 has Python's. */
function sortLikePython(keys: readonly string[]): string[] {
  return keys
    .map((key) => ({ key, utf8: Buffer.from(key) }))
    .sort((a, b) => Buffer.compare(a.utf8, b.utf8))
    .map(({ key }) => key);
}

function firstBuffer(buffers: readonly unknown[], what: string): Uint8Array {
  const [buffer] = buffers;
  if (!(buffer instanceof Uint8Array)) throw new UnpickleError(`${what} without its buffer`);
  return buffer;
}

function text(attributes: Attributes, key: string, fallback: string): string {
  const value = getOwn(attributes, key);
  return typeof value === 'string' ? value : fallback;
}

function list(attributes: Attributes, key: string): readonly unknown[] {
  const value = getOwn(attributes, key);
  return Array.isArray(value) ? value : [];
}

/** `wrap` is what makes the value of the bytes; the writer here has it unpickle them, with the other buffers beside. */
const uncanBytes: Uncanner = (attributes, buffers, opener) => {
  const bytes = firstBuffer(buffers, 'a CannedBytes');
  const wrap = getOwn(attributes, 'wrap');
  if (wrap === undefined) return bytes;
  if (!isUnpickling(wrap)) return new OpaqueValue('instance', OURS, 'CannedBytes', { state: attributes });
  const apart = buffers.filter((buffer): buffer is Uint8Array => buffer instanceof Uint8Array);
  return readWithin(opener.budget, bytes, apart);
};

/** `functools.partial(pickle.loads, buffers=…)`. */
function isUnpickling(wrap: unknown): boolean {
  if (!(wrap instanceof OpaqueValue) || wrap.name !== 'functools.partial') return false;
  const [callee] = wrap.args;
  return callee instanceof OpaqueValue && callee.name === 'pickle.loads';
}

function uncanArray(attributes: Attributes, buffers: readonly unknown[], opener: CanOpener): unknown {
  const data = firstBuffer(buffers, 'a CannedArray');
  // Arrays of objects, and empty ones, are a pickle within the pickle.
  if (getOwn(attributes, 'pickled') === true) return readWithin(opener.budget, data);
  return readCannedArray(
    getOwn(attributes, 'shape') ?? null,
    getOwn(attributes, 'dtype') ?? null,
    data,
    opener.budget,
  );
}

function uncanFunction(attributes: Attributes): unknown {
  const module = text(attributes, 'module', '__main__');
  return new OpaqueValue('function', module, text(attributes, '__name__', '<unnamed>'), {
    state: attributes,
  });
}

/** A name that is looked up where the task runs. */
function uncanReference(attributes: Attributes): unknown {
  return new OpaqueValue('reference', '__main__', text(attributes, 'name', '<unnamed>'), {});
}

function uncanClass(attributes: Attributes): unknown {
  return new OpaqueValue('reference', '__main__', text(attributes, 'name', '<unnamed>'), {
    state: attributes,
  });
}

/** A partial holds the buffers of its arguments in one list, with the count of each beside it. */
function uncanPartial(attributes: Attributes, buffers: readonly unknown[], opener: CanOpener): unknown {
  let used = 0;
  const openWith = (value: unknown, count: unknown): unknown => {
    if (typeof count !== 'number' || count <= 0) return opener.open(value);
    used += count;
    opener.budget.spend(COST.element * Math.min(count, buffers.length));
    return opener.open(value, buffers.slice(used - count, used));
  };
  const counts = list(attributes, 'arg_buffer_counts');
  const cannedArgs = list(attributes, 'args');
  opener.budget.spend(COST.element * (cannedArgs.length + buffers.length));
  const args = cannedArgs.map((arg, i) => openWith(arg, counts[i]));

  const keywords: Record<string, unknown> = {};
  const given = getOwn(attributes, 'keywords');
  const keywordCounts = getOwn(attributes, 'keyword_buffer_counts');
  if (isDict(given)) {
    const keys = Object.keys(given);
    opener.budget.spend(COST.entry * keys.length);
    for (const key of sortLikePython(keys)) {
      const count = isDict(keywordCounts) ? getOwn(keywordCounts, key) : undefined;
      setOwn(keywords, key, openWith(getOwn(given, key), count));
    }
  }
  const callee = opener.open(getOwn(attributes, 'func') ?? null);
  return new OpaqueValue('instance', 'functools', 'partial', { args: [callee, ...args], kwargs: keywords });
}

/** An object some of whose attributes (`keys`) were canned, such as a function with its dependencies. */
function uncanObject(attributes: Attributes, _: readonly unknown[], opener: CanOpener): unknown {
  const object = getOwn(attributes, 'obj') ?? null;
  if (!(object instanceof OpaqueValue) || !isDict(object.state)) return object;
  const cannedKeys = list(attributes, 'keys');
  const entries = Object.entries(object.state);
  opener.budget.spend(COST.entry * (cannedKeys.length + entries.length));
  const canned = new Set(cannedKeys);
  const state: Record<string, unknown> = {};
  for (const [key, value] of entries) {
    setOwn(state, key, canned.has(key) ? opener.open(value) : value);
  }
  return new OpaqueValue(object.kind, object.module, object.qualname, { ...object, state });
}

const uncanners: ReadonlyMap<string, Uncanner> = new Map<string, Uncanner>([
  ['CannedBytes', uncanBytes],
  ['CannedMemoryView', uncanBytes],
  ['CannedBuffer', uncanBytes],
  ['CannedArray', uncanArray],
  ['CannedFunction', uncanFunction],
  ['CannedPartial', uncanPartial],
  ['CannedClass', uncanClass],
  ['CannedObject', uncanObject],
  ['Reference', uncanReference],
]);
