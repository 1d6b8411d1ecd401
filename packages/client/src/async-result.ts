import { CompositeError, isDone, type TaskStatus, UsageError } from '@ipyparallel-js/protocol';
import { type Deadline, startDeadline, timeoutError, type WaitOptions, within } from '@ipyparallel-js/wire';
import { combineLatest, map, type Observable, of } from 'rxjs';
import { type Reassembly, reassemble } from './results/reassembly.js';
import type { Outcome, Task } from './task.js';

/** How far several tasks are. */
export interface Progress {
  readonly total: number;
  /** Ended in any way. */
  readonly done: number;
  readonly completed: number;
  readonly failed: number;
  readonly aborted: number;
  readonly purged: number;
  readonly lost: number;
}

/** What the results of several tasks are together. */
export interface ResultShape {
  /** One task whose result stands for itself, not in a list. */
  readonly single: boolean;
  readonly reassembly?: Reassembly;
  /** What a resubmission lost, by the new ids. */
  readonly dropped?: ReadonlyMap<string, readonly string[]>;
}

/**
 * The results of one or several tasks, own or others'. One id or engine gives one result, a list gives a list, in
 * the order of `msgIds`. Not itself a promise: a failure nobody reads is no unhandled rejection.
 * Mirrors ipyparallel `AsyncResult`.
 */
export class AsyncResult<T> {
  readonly #tasks: readonly Task[];
  readonly #single: boolean;
  readonly #reassembly: Reassembly | undefined;

  /**
   * What a resubmission lost, by the new ids: the names of the metadata (`targets`, `after`, `follow`, `retries`,
   * `label`, …) that the hub dropped, and `engine` for a direct task that may now run anywhere. Empty when nothing was
   * lost, as always on our hub.
   */
  readonly dropped: ReadonlyMap<string, readonly string[]>;

  /** @internal Made by views and by `Client.getResult`. */
  constructor(tasks: readonly Task[], shape: ResultShape) {
    this.#tasks = tasks;
    this.#single = shape.single;
    this.#reassembly = shape.reassembly;
    this.dropped = shape.dropped ?? new Map();
  }

  /** The tasks' ids. */
  get msgIds(): readonly string[] {
    return this.#tasks.map((task) => task.msgId);
  }

  /** Whether every task has ended. */
  get ready(): boolean {
    return this.#tasks.every((task) => task.outcome !== undefined);
  }

  /** Whether every task ended well. @throws UsageError when not ready */
  get successful(): boolean {
    if (!this.ready) throw new UsageError('the result is not ready yet; wait for it first');
    return this.#tasks.every((task) => task.outcome?.ok === true);
  }

  /** The status of each task now, in the order of `msgIds`. */
  get statuses(): readonly TaskStatus[] {
    return this.#tasks.map((task) => task.status);
  }

  /** The status of each task, in the order of `msgIds`: at once and at each change; completes when all have ended. */
  get status$(): Observable<readonly TaskStatus[]> {
    if (this.#tasks.length === 0) return of([]);
    return combineLatest(this.#tasks.map((task) => task.status$));
  }

  /** Counts by status: at once and at each change; completes when all have ended. */
  get progress$(): Observable<Progress> {
    return this.status$.pipe(map(countProgress));
  }

  /** What each task printed so far, in the order of `msgIds`; others' tasks have it once they have ended. */
  get stdout(): readonly string[] {
    return this.#tasks.map((task) => task.stdout);
  }

  /** The same for stderr. */
  get stderr(): readonly string[] {
    return this.#tasks.map((task) => task.stderr);
  }

  /**
   * Waits until all have ended and gives the result. Without a time-out it waits as long as the hub lives.
   * @throws the task's error; for a list CompositeError; TimeoutError after `timeout` ms; `signal.reason`
   */
  async get(options: WaitOptions = {}): Promise<T> {
    const outcomes = await this.#settled(startDeadline(options, Number.POSITIVE_INFINITY));
    const errors = outcomes.flatMap((outcome) => (outcome.ok ? [] : [outcome.error]));
    const [first] = errors;
    if (first !== undefined && this.#reassembly?.returnErrors !== true) {
      // One refusal of the whole call is one error, however many tasks it had.
      const refused =
        outcomes.length > 1 && outcomes.every((outcome) => !outcome.ok && outcome.error === first);
      throw this.#single || refused ? first : new CompositeError(errors);
    }
    const values = outcomes.map((outcome, i) => {
      if (outcome.ok) return outcome.value;
      return new Array<unknown>(this.#reassembly?.sizes?.[i] ?? 1).fill(outcome.error);
    });
    if (this.#reassembly !== undefined) return reassemble(values, this.#reassembly) as T;
    return (this.#single ? values[0] : values) as T;
  }

  /** Waits until all have ended: true; or until `timeout` ms are over: false. Failed tasks have ended, too. */
  async wait(options: WaitOptions = {}): Promise<boolean> {
    const timedOut = Symbol('timed out') as unknown as Error;
    try {
      await this.#settled(startDeadline(options, Number.POSITIVE_INFINITY), () => timedOut);
      return true;
    } catch (error) {
      if (error === timedOut) return false;
      throw error;
    }
  }

  async #settled(deadline: Deadline, onTimeout = this.#timedOut): Promise<Outcome[]> {
    return within(deadline, Promise.all(this.#tasks.map((task) => task.done)), onTimeout);
  }

  readonly #timedOut = (waited: number): Error => {
    const open = this.#tasks.filter((task) => task.outcome === undefined);
    const first = open[0];
    const which =
      open.length === 1 && first !== undefined
        ? `task ${first.msgId} (${first.status}) has not ended`
        : `${open.length} of ${this.#tasks.length} tasks have not ended`;
    return timeoutError(which, waited);
  };
}

/** Counts statuses. */
export function countProgress(statuses: readonly TaskStatus[]): Progress {
  const count = (wanted: TaskStatus): number => statuses.filter((status) => status === wanted).length;
  return {
    total: statuses.length,
    done: statuses.filter(isDone).length,
    completed: count('completed'),
    failed: count('failed'),
    aborted: count('aborted'),
    purged: count('purged'),
    lost: count('lost'),
  };
}
