import { chargeHashCollisions } from './hash-collisions.js';
import { PyDict, PyGlobal, PyInstance, PySet } from './nodes.js';
import { completeOpaque, OpaqueValue } from './opaque-value.js';
import { type Budget, MEMORY_COSTS } from './pickle-limits.js';
import { upgradeInstance } from './upgrades.js';

type PlainObject = Record<string, unknown>;

/** Sets an own property of any name; plain assignment to `__proto__` would change the prototype. */
export function setOwn(target: PlainObject, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
  } else target[key] = value;
}

/** One node being resolved. Other values may refer to its shell before `complete` fills it. */
interface Job {
  readonly node: object;
  readonly shell: unknown;
  /** Lists of child nodes; each child is replaced in place by its value. */
  readonly parts: readonly unknown[][];
  /** Fills the shell, or returns a value that replaces it. */
  readonly complete: () => unknown;
  list: number;
  index: number;
  /** Maximum height of the parts so far. */
  height: number;
  /** Number of values so far, this one included. */
  expanded: number;
}

/** The value of a node, its height (0 until known), and its number of values with shared parts counted at each use. */
interface Resolved {
  value: unknown;
  height: number;
  expanded: number;
}

/**
 * Turns the machine's nodes into values. Visits every node once, however often it is shared, without recursion. Limits the
 * longest path, so that callers can recurse into the value, and the number of values with shared parts counted at each
 * use, so that such a walk terminates.
 */
export function resolveNodes(root: unknown, budget: Budget): unknown {
  const resolved = new Map<object, Resolved>();
  const jobs: Job[] = [];

  const resolve = (value: unknown): Resolved | undefined => {
    const known = typeof value === 'object' && value !== null ? resolved.get(value) : undefined;
    if (known !== undefined) return known;
    const empty = resolveEmpty(value);
    if (empty !== undefined) return { value: empty, height: 1, expanded: 1 };
    const job = jobFor(value, budget);
    if (job === undefined) return undefined;
    const entry = { value: job.shell, height: 0, expanded: 1 };
    resolved.set(job.node, entry);
    jobs.push(job);
    budget.checkDepth(jobs.length);
    return entry;
  };

  const result = resolve(root);
  if (result === undefined) return root;
  for (let job = jobs.at(-1); job !== undefined; job = jobs.at(-1)) {
    const parts = job.parts[job.list];
    if (parts === undefined) {
      const replacement = job.complete();
      jobs.pop();
      const height = job.height + 1;
      budget.checkDepth(height);
      // Printers print only the name of an opaque value.
      const expanded = job.shell instanceof OpaqueValue ? 1 : job.expanded;
      budget.checkExpanded(expanded);
      const entry = resolved.get(job.node);
      if (entry !== undefined) {
        entry.height = height;
        entry.expanded = expanded;
        if (replacement !== undefined) entry.value = replacement;
      }
      const parent = jobs.at(-1);
      if (parent !== undefined) {
        parent.height = Math.max(parent.height, height);
        parent.expanded += expanded;
        const siblings = parent.parts[parent.list];
        if (replacement !== undefined && siblings !== undefined) siblings[parent.index - 1] = replacement;
      }
    } else if (job.index >= parts.length) {
      job.list += 1;
      job.index = 0;
    } else {
      const before = jobs.length;
      const part = resolve(parts[job.index]);
      if (part !== undefined) {
        parts[job.index] = part.value;
        job.height = Math.max(job.height, part.height);
      }
      // A part with its own job adds its size when that job completes.
      if (jobs.length === before) job.expanded += part?.expanded ?? 1;
      job.index += 1;
    }
  }
  return result.value;
}

/** The value of a node without parts, which needs no job; all references share one value. */
function resolveEmpty(value: unknown): object | undefined {
  if (Array.isArray(value)) return value.length === 0 ? value : undefined;
  if (value instanceof PyDict) {
    if (value.keys.length === 0) value.resolved ??= {};
    return value.resolved;
  }
  if (value instanceof PySet) {
    if (value.items.length === 0) value.resolved ??= new Set();
    return value.resolved;
  }
  if (value instanceof PyGlobal) {
    value.resolved ??= new OpaqueValue('reference', value.module, value.qualname, {});
    return value.resolved;
  }
  return undefined;
}

/** The job that resolves a node; undefined for a value that needs none. */
function jobFor(value: unknown, budget: Budget): Job | undefined {
  if (Array.isArray(value)) return newJob(value, value, [value], () => undefined);
  if (value instanceof PyDict) return dictJob(value, budget);
  if (value instanceof PySet) {
    const set = new Set<unknown>();
    return newJob(value, set, [value.items], () => {
      chargeHashCollisions(value.items, budget);
      for (const item of value.items) set.add(item);
      return undefined;
    });
  }
  return value instanceof PyInstance ? instanceJob(value, budget) : undefined;
}

function newJob(node: object, shell: unknown, parts: readonly unknown[][], complete: () => unknown): Job {
  return { node, shell, parts, complete, list: 0, index: 0, height: 0, expanded: 1 };
}

const MAX_INDEX_DIGITS = 10;

function isIndex(key: string): boolean {
  const first = key.charCodeAt(0);
  return first >= 0x30 && first <= 0x39 && key.length <= MAX_INDEX_DIGITS;
}

/** V8 allocates 300 elements for one key `300` in a new object, but not if the object once had a far larger index. */
function sparseObject(): PlainObject {
  const object: PlainObject = {};
  object[0xffff_fffe - 1] = null;
  delete object[0xffff_fffe - 1];
  return object;
}

/** Makes a plain object if every key is a string, otherwise a Map. */
function dictJob(dict: PyDict, budget: Budget): Job {
  const { keys, values } = dict;
  if (keys.every((key) => typeof key === 'string')) {
    const sparse = keys.some(isIndex);
    if (sparse) budget.spend(MEMORY_COSTS.keyed);
    const object: PlainObject = sparse ? sparseObject() : {};
    return newJob(dict, object, [values], () => {
      keys.forEach((key, i) => {
        setOwn(object, key, values[i]);
      });
      return undefined;
    });
  }
  budget.spend(MEMORY_COSTS.keyed);
  const map = new Map<unknown, unknown>();
  return newJob(dict, map, [keys, values], () => {
    chargeHashCollisions(keys, budget);
    keys.forEach((key, i) => {
      map.set(key, values[i]);
    });
    return undefined;
  });
}

function instanceJob(instance: PyInstance, budget: Budget): Job {
  const opaque = new OpaqueValue('instance', instance.type.module, instance.type.qualname);
  const entries = instance.entries.keys.length === 0 ? null : instance.entries;
  const parts: unknown[] = [
    instance.callee,
    instance.args,
    instance.kwargs,
    instance.state,
    instance.items,
    entries,
  ];
  return newJob(instance, opaque, [parts], () => {
    const [callee, args, kwargs, state, items, finalEntries] = parts;
    completeOpaque(opaque, {
      callee: callee instanceof OpaqueValue ? callee : null,
      args: args as unknown[],
      kwargs,
      state,
      items: items as unknown[],
      entries: finalEntries,
    });
    return upgradeInstance(opaque, budget);
  });
}
