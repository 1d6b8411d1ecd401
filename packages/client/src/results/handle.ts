import { UsageError } from '@ipyparallel-js/protocol';
import { describe, isDict } from '@ipyparallel-js/protocol/internal';
import type { Reassembly } from './reassembly.js';

/** Identifies a result in other processes, as JSON. It contains neither the value nor a key. */
export interface ResultHandle {
  readonly type: 'ipyparallel-js/result';
  readonly version: 1;
  /** A digest that identifies the cluster; null for a cluster without a key. */
  readonly cluster: string | null;
  readonly msgIds: readonly string[];
  /** Whether the result is the value of one task, not a list. */
  readonly single: boolean;
  /** How the chunks of a map form one list. */
  readonly reassembly?: Reassembly;
}

const TYPE = 'ipyparallel-js/result';
/** The maximum number of tasks in a handle; a map of a million elements has a few thousand. */
const MAX_TASKS = 1_000_000;
const MAX_ID = 1_024;

/** Validates a handle from an untrusted source: an object or its JSON text. @throws {UsageError} when it is invalid */
export function parseHandle(value: unknown): ResultHandle {
  const handle = typeof value === 'string' ? parseJson(value) : value;
  if (!isDict(handle)) throw handleError(`it must be an object, got ${describe(handle)}`);
  if (handle['type'] !== TYPE)
    throw handleError(`its type must be "${TYPE}", got ${describe(handle['type'])}`);
  if (handle['version'] !== 1)
    throw handleError(
      `its version must be 1, the only one that this client reads, got ${describe(handle['version'])}`,
    );
  const { cluster, msgIds, single, reassembly } = handle;
  if (cluster !== null && (typeof cluster !== 'string' || !/^[0-9a-f]{32}$/.test(cluster)))
    throw handleError(
      `its cluster must be a digest of 32 hexadecimal digits, or null, got ${describe(cluster)}`,
    );
  if (typeof single !== 'boolean')
    throw handleError(`its single must be true or false, got ${describe(single)}`);
  const ids = msgIdsOf(msgIds);
  if (single && ids.length !== 1)
    throw handleError(`a handle with single: true must name one task, got ${ids.length}`);
  if (reassembly !== undefined && single)
    throw handleError('a handle with single: true must not have a reassembly');
  return {
    type: TYPE,
    version: 1,
    cluster,
    msgIds: ids,
    single,
    ...(reassembly === undefined ? {} : { reassembly: parseReassembly(reassembly, ids.length) }),
  };
}

export function makeHandle(parts: Omit<ResultHandle, 'type' | 'version'>): ResultHandle {
  return { type: TYPE, version: 1, ...parts };
}

/** @throws {UsageError} with code `WRONG_CLUSTER` when a handle was created on another cluster */
export function assertCluster(handle: ResultHandle, cluster: string | null, address: string): void {
  if (handle.cluster === cluster) return;
  throw new UsageError(
    `the handle belongs to another cluster than the one at ${address}: their keys differ. If a controller was restarted on the same Task Database, attach with { anyCluster: true }`,
    { code: 'WRONG_CLUSTER' },
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new UsageError('not the handle of a result: it is not JSON', { cause });
  }
}

function msgIdsOf(value: unknown): string[] {
  if (!Array.isArray(value)) throw handleError(`its msgIds must be a list, got ${describe(value)}`);
  if (value.length > MAX_TASKS)
    throw handleError(`it must name at most ${MAX_TASKS} tasks, got ${value.length}`);
  for (const id of value) {
    if (typeof id !== 'string' || id === '' || id.length > MAX_ID)
      throw handleError(`a msg_id must be a string of 1 to ${MAX_ID} characters, got ${describe(id)}`);
  }
  const ids = value as string[];
  if (new Set(ids).size !== ids.length) throw handleError('it must name each task once');
  return [...ids];
}

function parseReassembly(value: unknown, tasks: number): Reassembly {
  if (!isDict(value)) throw handleError(`its reassembly must be an object, got ${describe(value)}`);
  const { kind, sizes, ordered, returnErrors } = value;
  if (kind !== 'flatten' && kind !== 'roundRobin')
    throw handleError(`its reassembly's kind must be 'flatten' or 'roundRobin', got ${describe(kind)}`);
  for (const [name, flag] of Object.entries({ ordered, returnErrors })) {
    if (flag !== undefined && typeof flag !== 'boolean')
      throw handleError(`its ${name} must be true or false, got ${describe(flag)}`);
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
    throw handleError('its sizes must be a list with one number for each task');
  let total = 0;
  for (const size of value) {
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
      throw handleError(`a size must be an integer >= 0, got ${describe(size)}`);
    total += size;
  }
  // A failed task is expanded to one error for each element, so a handle must not cause a huge list.
  if (total > MAX_ELEMENTS) throw handleError(`it must have at most ${MAX_ELEMENTS} elements, got ${total}`);
  return [...(value as number[])];
}

const MAX_ELEMENTS = 10_000_000;

function handleError(why: string): UsageError {
  return new UsageError(`not the handle of a result: ${why}`);
}
