import { getOwn, isDict } from '../common/dict.js';
import { readCannedArray } from './numpy/read-numpy.js';
import { OpaqueValue } from './opaque-value.js';
import { type Budget, MEMORY_COSTS } from './pickle-limits.js';
import { readPickleWithBudget } from './read-pickle.js';
import { setOwn } from './resolve-nodes.js';
import { UnpickleError } from './unpickle-error.js';

// ipyparallel "cans" values that a pickle cannot hold (functions) or should not hold (large bytes, arrays). It replaces
// them with an object of `ipyparallel.serialize.canning`; a None in the object's `buffers` stands for a message frame.

const CANNING_MODULE = 'ipyparallel.serialize.canning';
const CANNING_MODULES: ReadonlySet<string> = new Set([
  CANNING_MODULE,
  // ipykernel has a copy of the same classes.
  'ipykernel.pickleutil',
]);

/** Returns the next frame of the message. */
export type NextFrame = () => Uint8Array;

type Attributes = Readonly<Record<string, unknown>>;
type UncanFunction = (
  attributes: Attributes,
  buffers: readonly unknown[],
  uncanner: MessageUncanner,
) => unknown;

function isCanned(value: unknown): value is OpaqueValue {
  return value instanceof OpaqueValue && value.kind === 'instance' && CANNING_MODULES.has(value.module);
}

/** Uncans the objects of one message. */
export class MessageUncanner {
  /** Shared by the message, because canned objects can share parts and each object is uncanned separately. */
  readonly budget: Budget;
  readonly #nextFrame: NextFrame;
  /** Results by canned object. An object that is being uncanned maps to itself. */
  readonly #uncanned = new Map<OpaqueValue, unknown>();

  constructor(budget: Budget, nextFrame: NextFrame) {
    this.budget = budget;
    this.#nextFrame = nextFrame;
  }

  /** Returns the value that was canned, or any other value unchanged. A partial passes the `buffers` that it holds for an argument. */
  uncan(value: unknown, buffers?: readonly unknown[]): unknown {
    if (!isCanned(value)) return value;
    if (this.#uncanned.has(value)) return this.#uncanned.get(value);
    const uncanState = uncanners.get(value.qualname);
    if (uncanState === undefined || !isDict(value.state)) return value;
    this.#uncanned.set(value, value);
    const uncanned = uncanState(value.state, buffers ?? this.#restoreBuffers(value.state), this);
    this.#uncanned.set(value, uncanned);
    return uncanned;
  }

  #restoreBuffers(attributes: Attributes): readonly unknown[] {
    const buffers = getOwn(attributes, 'buffers');
    if (!Array.isArray(buffers)) return [];
    this.budget.spend(MEMORY_COSTS.element * buffers.length);
    return buffers.map((buffer: unknown) => (buffer === null ? this.#nextFrame() : buffer));
  }

  /** Uncans the elements of a list, set or dict. ipyparallel cans no deeper. */
  uncanElements(value: unknown): unknown {
    if (Array.isArray(value)) {
      value.forEach((element: unknown, i) => {
        value[i] = this.uncan(element);
      });
    } else if (value instanceof Set) {
      const elements = [...value].map((element) => this.uncan(element));
      value.clear();
      for (const element of elements) value.add(element);
    } else if (value instanceof Map) {
      // Frames are sent in the order of sorted keys. A Map preserves that order.
      for (const [key, element] of value) value.set(key, this.uncan(element));
    } else if (isDict(value)) {
      // A plain object does not preserve it: Python sorts '10' before '2', JavaScript after '2'.
      const canned = Object.keys(value).filter((key) => isCanned(value[key]));
      for (const key of sortLikePython(canned)) {
        setOwn(value as Record<string, unknown>, key, this.uncan(value[key]));
      }
    } else return this.uncan(value);
    return value;
  }
}

/** Sorts by code point, as UTF-8 does. JavaScript's order puts characters past U+FFFF before U+E000. */
function sortLikePython(keys: readonly string[]): string[] {
  return keys
    .map((key) => ({ key, utf8: Buffer.from(key) }))
    .sort((a, b) => Buffer.compare(a.utf8, b.utf8))
    .map(({ key }) => key);
}

function firstBuffer(buffers: readonly unknown[], what: string): Uint8Array {
  const [buffer] = buffers;
  if (!(buffer instanceof Uint8Array)) throw new UnpickleError(`${what} has no buffer`);
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

/** `wrap` makes the value from the bytes. In objects of `packObject` it unpickles them, with the other buffers out of band. */
const uncanBytes: UncanFunction = (attributes, buffers, uncanner) => {
  const bytes = firstBuffer(buffers, 'a CannedBytes');
  const wrap = getOwn(attributes, 'wrap');
  if (wrap === undefined) return bytes;
  if (!isUnpickling(wrap))
    return new OpaqueValue('instance', CANNING_MODULE, 'CannedBytes', { state: attributes });
  const outOfBand = buffers.filter((buffer): buffer is Uint8Array => buffer instanceof Uint8Array);
  return readPickleWithBudget(uncanner.budget, bytes, outOfBand);
};

/** `functools.partial(pickle.loads, buffers=…)`. */
function isUnpickling(wrap: unknown): boolean {
  if (!(wrap instanceof OpaqueValue) || wrap.name !== 'functools.partial') return false;
  const [callee] = wrap.args;
  return callee instanceof OpaqueValue && callee.name === 'pickle.loads';
}

function uncanArray(attributes: Attributes, buffers: readonly unknown[], uncanner: MessageUncanner): unknown {
  const data = firstBuffer(buffers, 'a CannedArray');
  // Arrays of objects and empty arrays are pickles inside the pickle.
  if (getOwn(attributes, 'pickled') === true) return readPickleWithBudget(uncanner.budget, data);
  return readCannedArray(
    getOwn(attributes, 'shape') ?? null,
    getOwn(attributes, 'dtype') ?? null,
    data,
    uncanner.budget,
  );
}

function uncanFunction(attributes: Attributes): unknown {
  const module = text(attributes, 'module', '__main__');
  return new OpaqueValue('function', module, text(attributes, '__name__', '<unnamed>'), {
    state: attributes,
  });
}

/** A name that the engine evaluates when the task runs. */
function uncanReference(attributes: Attributes): unknown {
  return new OpaqueValue('reference', '__main__', text(attributes, 'name', '<unnamed>'), {});
}

function uncanClass(attributes: Attributes): unknown {
  return new OpaqueValue('reference', '__main__', text(attributes, 'name', '<unnamed>'), {
    state: attributes,
  });
}

/** A partial holds the buffers of all its arguments in one list, and the number of buffers of each argument in another. */
function uncanPartial(
  attributes: Attributes,
  buffers: readonly unknown[],
  uncanner: MessageUncanner,
): unknown {
  let used = 0;
  const uncanWith = (value: unknown, count: unknown): unknown => {
    if (typeof count !== 'number' || count <= 0) return uncanner.uncan(value);
    used += count;
    uncanner.budget.spend(MEMORY_COSTS.element * Math.min(count, buffers.length));
    return uncanner.uncan(value, buffers.slice(used - count, used));
  };
  const counts = list(attributes, 'arg_buffer_counts');
  const cannedArgs = list(attributes, 'args');
  uncanner.budget.spend(MEMORY_COSTS.element * (cannedArgs.length + buffers.length));
  const args = cannedArgs.map((arg, i) => uncanWith(arg, counts[i]));

  const keywords: Record<string, unknown> = {};
  const cannedKeywords = getOwn(attributes, 'keywords');
  const keywordCounts = getOwn(attributes, 'keyword_buffer_counts');
  if (isDict(cannedKeywords)) {
    const keys = Object.keys(cannedKeywords);
    uncanner.budget.spend(MEMORY_COSTS.entry * keys.length);
    for (const key of sortLikePython(keys)) {
      const count = isDict(keywordCounts) ? getOwn(keywordCounts, key) : undefined;
      setOwn(keywords, key, uncanWith(getOwn(cannedKeywords, key), count));
    }
  }
  const callee = uncanner.uncan(getOwn(attributes, 'func') ?? null);
  return new OpaqueValue('instance', 'functools', 'partial', { args: [callee, ...args], kwargs: keywords });
}

/** An object with canned attributes, named in `keys`, such as a function with its dependencies. */
function uncanObject(attributes: Attributes, _: readonly unknown[], uncanner: MessageUncanner): unknown {
  const object = getOwn(attributes, 'obj') ?? null;
  if (!(object instanceof OpaqueValue) || !isDict(object.state)) return object;
  const cannedKeys = list(attributes, 'keys');
  const entries = Object.entries(object.state);
  uncanner.budget.spend(MEMORY_COSTS.entry * (cannedKeys.length + entries.length));
  const canned = new Set(cannedKeys);
  const state: Record<string, unknown> = {};
  for (const [key, value] of entries) {
    setOwn(state, key, canned.has(key) ? uncanner.uncan(value) : value);
  }
  return new OpaqueValue(object.kind, object.module, object.qualname, { ...object, state });
}

const uncanners: ReadonlyMap<string, UncanFunction> = new Map<string, UncanFunction>([
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
