import { type Deadline, waitFor, withinDeadline } from '@ipyparallel-js/wire';
import type { Outcome, Task } from '../tasks/task.js';
import { elementsOf, type Reassembly } from './reassembly.js';

/** The outcome of one element: its value, or the error of its task. */
export type Settled<E> = { readonly msgId: string; readonly engineId: number | null } & (
  | { readonly status: 'fulfilled'; readonly value: E }
  | { readonly status: 'rejected'; readonly reason: Error }
);

type CreateTimeoutError = (waitedMs: number) => Error;

/** The outcomes of the elements of one task. */
function elementOutcomes(
  task: Task,
  outcome: Outcome,
  reassembly: Reassembly | undefined,
  size: number | undefined,
): Settled<unknown>[] {
  const { engineId } = task.metadata;
  const common = { msgId: task.msgId, engineId };
  if (!outcome.ok) {
    // If the number of failed elements is unknown, one error stands for all of them.
    return Array.from({ length: size ?? 1 }, () => ({
      ...common,
      status: 'rejected',
      reason: outcome.error,
    }));
  }
  const values = reassembly === undefined ? [outcome.value] : elementsOf(outcome.value);
  return values.map((value) => ({ ...common, status: 'fulfilled', value }));
}

/** Yields the elements of tasks in order. */
export async function* settledInOrder(
  tasks: readonly Task[],
  reassembly: Reassembly | undefined,
  deadline: Deadline,
  createTimeoutError: CreateTimeoutError,
): AsyncGenerator<Settled<unknown>, void, undefined> {
  if (reassembly?.kind === 'roundRobin') {
    yield* roundRobin(tasks, reassembly, deadline, createTimeoutError);
    return;
  }
  for (const [i, task] of tasks.entries()) {
    const outcome = task.outcome ?? (await withinDeadline(deadline, task.done, createTimeoutError));
    task.owner?.markRead(task);
    yield* elementOutcomes(task, outcome, reassembly, reassembly?.sizes?.[i]);
  }
}

/** Yields the elements of tasks in the order in which the tasks end. */
export async function* settledAsCompleted(
  tasks: readonly Task[],
  reassembly: Reassembly | undefined,
  deadline: Deadline,
  createTimeoutError: CreateTimeoutError,
): AsyncGenerator<Settled<unknown>, void, undefined> {
  for await (const { task, index, outcome } of completions(tasks, deadline, createTimeoutError)) {
    task.owner?.markRead(task);
    yield* elementOutcomes(task, outcome, reassembly, reassembly?.sizes?.[index]);
  }
}

/** Yields the values of settled elements. Throws the first failure, or with `returnErrors` yields it. */
export async function* valuesOf(
  settled: AsyncIterable<Settled<unknown>>,
  returnErrors: boolean,
): AsyncGenerator<unknown, void, undefined> {
  for await (const one of settled) {
    if (one.status === 'fulfilled') yield one.value;
    else if (returnErrors) yield one.reason;
    else throw one.reason;
  }
}

/** Yields tasks in the order in which they end. */
export async function* completions(
  tasks: readonly Task[],
  deadline: Deadline,
  createTimeoutError: CreateTimeoutError,
): AsyncGenerator<
  { readonly task: Task; readonly index: number; readonly outcome: Outcome },
  void,
  undefined
> {
  const ended: { readonly task: Task; readonly index: number; readonly outcome: Outcome }[] = [];
  let wake: (() => void) | undefined;
  for (const [index, task] of tasks.entries()) {
    void task.done.then((outcome) => {
      ended.push({ task, index, outcome });
      wake?.();
    });
  }
  for (let at = 0; at < tasks.length; at++) {
    if (ended[at] === undefined) {
      await waitFor<void>(deadline, createTimeoutError, (resolve) => {
        wake = resolve;
        if (ended[at] !== undefined) resolve();
        return () => {
          wake = undefined;
        };
      });
    }
    const next = ended[at];
    if (next !== undefined) yield next;
  }
}

async function* roundRobin(
  tasks: readonly Task[],
  reassembly: Reassembly,
  deadline: Deadline,
  createTimeoutError: CreateTimeoutError,
): AsyncGenerator<Settled<unknown>, void, undefined> {
  const chunks: Settled<unknown>[][] = [];
  for (let i = 0; ; i++) {
    let hasElement = false;
    for (const [index, task] of tasks.entries()) {
      const size = reassembly.sizes?.[index];
      if (size !== undefined && i >= size) continue;
      let chunk = chunks[index];
      if (chunk === undefined) {
        const outcome = task.outcome ?? (await withinDeadline(deadline, task.done, createTimeoutError));
        task.owner?.markRead(task);
        chunk = elementOutcomes(task, outcome, reassembly, size);
        chunks[index] = chunk;
      }
      const element = chunk[i];
      if (element === undefined) continue;
      hasElement = true;
      yield element;
    }
    if (!hasElement) return;
  }
}
