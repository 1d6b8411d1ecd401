// Reduces a failure: removes records, fields and parts of the query as long as it still fails.
import { emptyTask, type StoredTask } from '@ipyparallel-js/hub/internal';
import type { Dict } from '@ipyparallel-js/protocol';
import { isDict } from '@ipyparallel-js/protocol/internal';
import type { PagedQuery } from './subject.js';

export interface Failure {
  readonly tasks: readonly StoredTask[];
  readonly pagedQuery: PagedQuery;
}

/** Maximum number of attempts. Each one loads the records and repeats the query. */
const MAX_ATTEMPTS = 600;
/** Maximum time of a reduction in ms, because a test that times out reports nothing. */
const MAX_TIME = 15_000;

export async function shrink(
  failure: Failure,
  fails: (candidate: Failure) => Promise<boolean>,
): Promise<Failure> {
  let best = failure;
  let attempts = 0;
  const deadline = performance.now() + MAX_TIME;
  const isOver = (): boolean => attempts >= MAX_ATTEMPTS || performance.now() > deadline;
  const accept = async (candidate: Failure): Promise<boolean> => {
    if (isOver()) return false;
    attempts++;
    if (!(await fails(candidate))) return false;
    best = candidate;
    return true;
  };
  for (let isReduced = true; isReduced && !isOver(); ) {
    isReduced = false;
    for (
      let size = Math.ceil(best.tasks.length / 2);
      size >= 1;
      size = size === 1 ? 0 : Math.ceil(size / 2)
    ) {
      for (let at = 0; at < best.tasks.length; ) {
        const tasks = [...best.tasks.slice(0, at), ...best.tasks.slice(at + size)];
        if (await accept({ ...best, tasks })) isReduced = true;
        else at += size;
      }
    }
    if (
      await acceptFirst(reducePagedQuery(best.pagedQuery), (pagedQuery) => accept({ ...best, pagedQuery }))
    ) {
      isReduced = true;
      continue;
    }
    if (best.tasks.length > 8) continue;
    for (let i = 0; i < best.tasks.length; i++) {
      const candidates = reduceTask(best.tasks[i] as StoredTask);
      if (await acceptFirst(candidates, (task) => accept({ ...best, tasks: best.tasks.with(i, task) }))) {
        isReduced = true;
        break;
      }
    }
  }
  return best;
}

async function acceptFirst<T>(
  candidates: Iterable<T>,
  accept: (candidate: T) => Promise<boolean>,
): Promise<boolean> {
  for (const candidate of candidates) if (await accept(candidate)) return true;
  return false;
}

function* reducePagedQuery(pagedQuery: PagedQuery): Generator<PagedQuery> {
  const { sort, skip, limit, ...unpaged } = pagedQuery;
  if (sort !== undefined || skip !== undefined || limit !== undefined) yield unpaged;
  if (sort !== undefined) yield { ...unpaged, ...(skip && { skip }), ...(limit && { limit }) };
  for (const query of reduceValue(pagedQuery.query)) if (isDict(query)) yield { ...pagedQuery, query };
}

function* reduceTask(task: StoredTask): Generator<StoredTask> {
  const empty = emptyTask(task.msg_id);
  for (const key of Object.keys(empty) as (keyof StoredTask)[]) {
    const value = task[key];
    if (key === 'msg_id' || value === empty[key]) continue;
    yield { ...task, [key]: empty[key] };
    if (isDict(value))
      for (const reduced of reduceValue(value)) if (isDict(reduced)) yield { ...task, [key]: reduced };
  }
}

/** Yields values with one part removed, the largest parts first. */
export function* reduceValue(value: unknown): Generator<unknown> {
  if (Array.isArray(value)) {
    for (let size = Math.ceil(value.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2))
      for (let at = 0; at < value.length; at += size) yield value.toSpliced(at, size);
    if (value.length > 20) return;
    for (const [i, item] of value.entries()) {
      if (isDict(item)) yield item;
      for (const reduced of reduceValue(item)) yield value.with(i, reduced);
    }
  } else if (isDict(value)) {
    const entries = Object.entries(value);
    for (const [, item] of entries) {
      if (isDict(item)) yield item;
      if (Array.isArray(item)) yield* item.filter(isDict);
    }
    for (let i = 0; i < entries.length; i++) yield Object.fromEntries(entries.toSpliced(i, 1));
    for (const [key, item] of entries)
      for (const reduced of reduceValue(item)) yield { ...value, [key]: reduced } satisfies Dict;
  } else if (typeof value === 'string' && value.length > 1) {
    yield value.slice(0, Math.floor(value.length / 2));
    yield value.slice(Math.floor(value.length / 2));
    if (value.length < 12)
      for (let i = 0; i < value.length; i++) yield value.slice(0, i) + value.slice(i + 1);
  } else if (typeof value === 'number' && value !== 0) {
    yield 0;
  }
}
