import { UsageError } from '@ipyparallel-js/protocol';
import { isDict } from '@ipyparallel-js/protocol/internal';
import type { Reassembly } from './reassembly.js';

/** What names a result for another process, as JSON: it holds no result, and no key. */
export interface ResultHandle {
  readonly type: 'ipyparallel-js/result';
  readonly version: 1;
  /** A digest that names the cluster; null for one without a key. */
  readonly cluster: string | null;
  readonly msgIds: readonly string[];
  /** Whether the one task's result stands for itself, not in a list. */
  readonly single: boolean;
  /** For a map: how its chunks become one list. */
  readonly reassembly?: Reassembly;
}

const TYPE = 'ipyparallel-js/result';
/** Tasks of one handle; a map of a million elements has a few thousand. */
const MAX_TASKS = 1_000_000;
const MAX_ID = 1_024;

/** Checks a handle that came from anywhere: an object, or its JSON text. @throws UsageError saying what is wrong with it */
export function parseHandle(value: unknown): ResultHandle {
  const handle = typeof value === 'string' ? parseJson(value) : value;
  if (!isDict(handle)) throw refused('it is no object');
  if (handle['type'] !== TYPE) throw refused(`its type is not "${TYPE}"`);
  if (handle['version'] !== 1)
    throw refused(
      `its version is ${String(handle['version']).slice(0, 20)}, and this client reads version 1`,
    );
  const { cluster, msgIds, single, reassembly } = handle;
  if (cluster !== null && (typeof cluster !== 'string' || !/^[0-9a-f]{32}$/.test(cluster)))
    throw refused('its cluster is no digest');
  if (typeof single !== 'boolean') throw refused('it does not say whether it is single');
  const ids = msgIdsOf(msgIds);
  if (single && ids.length !== 1) throw refused(`it is single, and names ${ids.length} tasks`);
  if (reassembly !== undefined && single) throw refused('it is single, and says how chunks are put together');
  return {
    type: TYPE,
    version: 1,
    cluster,
    msgIds: ids,
    single,
    ...(reassembly === undefined ? {} : { reassembly: reassemblyOf(reassembly, ids.length) }),
  };
}

/** A handle. */
export function makeHandle(parts: Omit<ResultHandle, 'type' | 'version'>): ResultHandle {
  return { type: TYPE, version: 1, ...parts };
}

/** @throws UsageError with code `WRONG_CLUSTER` when a handle was made on another cluster */
export function assertCluster(handle: ResultHandle, cluster: string | null, address: string): void {
  if (handle.cluster === cluster) return;
  throw new UsageError(
    `the handle is of another cluster than the one at ${address}: their keys differ. If a controller was started anew on the same Task Database, attach with { anyCluster: true }`,
    { code: 'WRONG_CLUSTER' },
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new UsageError('not the handle of a result: it is no JSON', { cause });
  }
}

function msgIdsOf(value: unknown): string[] {
  if (!Array.isArray(value)) throw refused('it names no tasks');
  if (value.length > MAX_TASKS) throw refused(`it names more than ${MAX_TASKS} tasks`);
  for (const id of value) {
    if (typeof id !== 'string' || id === '' || id.length > MAX_ID)
      throw refused(`a task is named by a text of 1 to ${MAX_ID} characters`);
  }
  const ids = value as string[];
  if (new Set(ids).size !== ids.length) throw refused('it names a task twice');
  return [...ids];
}

function reassemblyOf(value: unknown, tasks: number): Reassembly {
  if (!isDict(value)) throw refused('its reassembly is no object');
  const { kind, sizes, ordered, returnErrors } = value;
  if (kind !== 'flatten' && kind !== 'roundRobin') throw refused('its reassembly is of no known kind');
  for (const [name, flag] of Object.entries({ ordered, returnErrors })) {
    if (flag !== undefined && typeof flag !== 'boolean')
      throw refused(`its ${name} is neither true nor false`);
  }
  return {
    kind,
    ...(sizes === undefined ? {} : { sizes: sizesOf(sizes, tasks) }),
    ...(typeof ordered === 'boolean' ? { ordered } : {}),
    ...(typeof returnErrors === 'boolean' ? { returnErrors } : {}),
  };
}

function sizesOf(value: unknown, tasks: number): number[] {
  if (!Array.isArray(value) || value.length !== tasks)
    throw refused('it does not say of each task how many elements it has');
  let total = 0;
  for (const size of value) {
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
      throw refused('a number of elements is a whole number, 0 or more');
    total += size;
  }
  // The elements of a failed task are counted out: a handle must not say a number that fills the memory.
  if (total > MAX_ELEMENTS) throw refused(`it has more than ${MAX_ELEMENTS} elements`);
  return [...(value as number[])];
}

const MAX_ELEMENTS = 10_000_000;

function refused(why: string): UsageError {
  return new UsageError(`not the handle of a result: ${why}`);
}
