import { chargeCrowdedKeys } from './crowded-keys.js';
import { PyDict, PyGlobal, PyInstance, PySet } from './nodes.js';
import { completeOpaque, OpaqueValue } from './opaque-value.js';
import { type Budget, COST } from './pickle-limits.js';
import { upgrade } from './upgrades.js';

type PlainObject = Record<string, unknown>;

/** Sets an own property, whatever its name: assigning to `__proto__` would change the object's nature. */
export function setOwn(target: PlainObject, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
  } else target[key] = value;
}

/** One value being finished: its shell may be referred to before `complete` has filled it. */
interface Job {
  readonly node: object;
  readonly shell: unknown;
  /** Lists of parts, replaced in place by what they become. */
  readonly parts: readonly unknown[][];
  /** What it becomes instead, where its parts tell more than the shell could. */
  readonly complete: () => unknown;
  list: number;
  index: number;
  /** The deepest part so far. */
  height: number;
  /** The values so far, itself included. */
  expanded: number;
}

/** What a node became, how deep it is (0 until that is known) and how many values it has written out. */
interface Finished {
  value: unknown;
  height: number;
  expanded: number;
}

/**
 * Turns what the machine built into what the user sees. Every node is visited once, however often it is shared,
 * and without recursion. The depth counted is that of the longest path, so that who walks the value can recurse; the
 * size is that of the value written out, so that such a walk ends.
 */
export function finish(root: unknown, budget: Budget): unknown {
  const finished = new Map<object, Finished>();
  const jobs: Job[] = [];

  const enter = (value: unknown): Finished | undefined => {
    const known = typeof value === 'object' && value !== null ? finished.get(value) : undefined;
    if (known !== undefined) return known;
    const empty = emptyOf(value);
    if (empty !== undefined) return { value: empty, height: 1, expanded: 1 };
    const job = jobFor(value, budget);
    if (job === undefined) return undefined;
    const entry = { value: job.shell, height: 0, expanded: 1 };
    finished.set(job.node, entry);
    jobs.push(job);
    budget.checkDepth(jobs.length);
    return entry;
  };

  const result = enter(root);
  if (result === undefined) return root;
  for (let job = jobs.at(-1); job !== undefined; job = jobs.at(-1)) {
    const parts = job.parts[job.list];
    if (parts === undefined) {
      const instead = job.complete();
      jobs.pop();
      const height = job.height + 1;
      budget.checkDepth(height);
      // What prints an opaque value prints its name.
      const expanded = job.shell instanceof OpaqueValue ? 1 : job.expanded;
      budget.checkExpanded(expanded);
      const entry = finished.get(job.node);
      if (entry !== undefined) {
        entry.height = height;
        entry.expanded = expanded;
        if (instead !== undefined) entry.value = instead;
      }
      const parent = jobs.at(-1);
      if (parent !== undefined) {
        parent.height = Math.max(parent.height, height);
        parent.expanded += expanded;
        const siblings = parent.parts[parent.list];
        if (instead !== undefined && siblings !== undefined) siblings[parent.index - 1] = instead;
      }
    } else if (job.index >= parts.length) {
      job.list += 1;
      job.index = 0;
    } else {
      const before = jobs.length;
      const part = enter(parts[job.index]);
      if (part !== undefined) {
        parts[job.index] = part.value;
        job.height = Math.max(job.height, part.height);
      }
      // A part that is a job of its own adds its size when it is done.
      if (jobs.length === before) job.expanded += part?.expanded ?? 1;
      job.index += 1;
    }
  }
  return result.value;
}

/** What has no parts needs no job: the value itself, or the one that all references to it share. */
function emptyOf(value: unknown): object | undefined {
  if (Array.isArray(value)) return value.length === 0 ? value : undefined;
  if (value instanceof PyDict) {
    if (value.keys.length === 0) value.made ??= {};
    return value.made;
  }
  if (value instanceof PySet) {
    if (value.items.length === 0) value.made ??= new Set();
    return value.made;
  }
  if (value instanceof PyGlobal) {
    value.made ??= new OpaqueValue('reference', value.module, value.qualname, {});
    return value.made;
  }
  return undefined;
}

/** The work that a value needs; undefined when it is finished as it is. */
function jobFor(value: unknown, budget: Budget): Job | undefined {
  if (Array.isArray(value)) return newJob(value, value, [value], () => undefined);
  if (value instanceof PyDict) return dictJob(value, budget);
  if (value instanceof PySet) {
    const set = new Set<unknown>();
    return newJob(value, set, [value.items], () => {
      chargeCrowdedKeys(value.items, budget);
      for (const item of value.items) set.add(item);
      return undefined;
    });
  }
  return value instanceof PyInstance ? instanceJob(value, budget) : undefined;
}

function newJob(node: object, shell: unknown, parts: readonly unknown[][], complete: () => unknown): Job {
  return { node, shell, parts, complete, list: 0, index: 0, height: 0, expanded: 1 };
}

const LONGEST_INDEX = 10;

function isIndex(key: string): boolean {
  const first = key.charCodeAt(0);
  return first >= 0x30 && first <= 0x39 && key.length <= LONGEST_INDEX;
}

/** One name like `300` would make room for as many in a new object; not where one is far off. */
function sparseObject(): PlainObject {
  const object: PlainObject = {};
  object[0xffff_fffe - 1] = null;
  delete object[0xffff_fffe - 1];
  return object;
}

/** A plain object when every key is text, otherwise a Map. */
function dictJob(dict: PyDict, budget: Budget): Job {
  const { keys, values } = dict;
  if (keys.every((key) => typeof key === 'string')) {
    const sparse = keys.some(isIndex);
    if (sparse) budget.spend(COST.keyed);
    const object: PlainObject = sparse ? sparseObject() : {};
    return newJob(dict, object, [values], () => {
      keys.forEach((key, i) => {
        setOwn(object, key, values[i]);
      });
      return undefined;
    });
  }
  budget.spend(COST.keyed);
  const map = new Map<unknown, unknown>();
  return newJob(dict, map, [keys, values], () => {
    chargeCrowdedKeys(keys, budget);
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
    return upgrade(opaque, budget);
  });
}
