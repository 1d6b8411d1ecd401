import { inspect } from 'node:util';
import { type TaskStatus, UsageError } from '@ipyparallel-js/protocol';
import { checkOptions } from '@ipyparallel-js/protocol/internal';
import {
  type Deadline,
  startDeadline,
  timeoutError,
  WAIT_OPTIONS,
  type WaitOptions,
  withinDeadline,
} from '@ipyparallel-js/wire';
import { defer, map, merge, type Observable } from 'rxjs';
import { countProgress, type Progress } from '../tasks/progress.js';
import { statusChanges } from '../tasks/status-changes.js';
import type { Task } from '../tasks/task.js';
import type { OutputOfTask, TaskMetadata } from '../tasks/task-metadata.js';
import { DISPLAY_OUTPUTS_OPTIONS, type DisplayOutputsOptions, displayOutputs } from './display-outputs.js';
import { makeHandle, type ResultHandle } from './handle.js';
import { type PartialResult, partialsOf } from './partials.js';
import type { Reassembly } from './reassembly.js';
import {
  type OutputStream,
  STREAM_OUTPUT_OPTIONS,
  type StreamOutputOptions,
  streamOutput,
} from './stream-output.js';
import {
  elapsedSince,
  type Moments,
  serialTime,
  TIMEDELTA_OPTIONS,
  type TimedeltaOptions,
  timedelta,
} from './timing.js';

/** What the results of several tasks are together. */
export interface ResultShape {
  /** One task whose result stands for itself, not in a list. */
  readonly single: boolean;
  /** For a map: how its chunks become one list. */
  readonly reassembly?: Reassembly;
  /** What a resubmission lost, by the new ids. */
  readonly dropped?: ReadonlyMap<string, readonly string[]>;
}

/** Several tasks together: how far they are, what is known of them, and what they put out; not their values. */
export class TaskGroup {
  /** @internal */
  protected readonly tasks: readonly Task[];
  /** @internal */
  protected readonly shape: ResultShape;

  constructor(tasks: readonly Task[], shape: ResultShape) {
    this.tasks = tasks;
    this.shape = shape;
  }

  /**
   * What a resubmission lost, by the new ids: the names of the metadata (`targets`, `after`, `follow`, `retries`,
   * `label`, …) that the hub dropped, and `engine` for a direct task that may now run anywhere. Empty when nothing was
   * lost, as always on our hub.
   */
  get dropped(): ReadonlyMap<string, readonly string[]> {
    return this.shape.dropped ?? new Map();
  }

  /** The tasks' ids. */
  get msgIds(): readonly string[] {
    return this.tasks.map((task) => task.msgId);
  }

  /** How many elements there are: of a map those of its chunks, as far as known, else the tasks. */
  get length(): number {
    return this.progress.total;
  }

  /** Whether every task has ended. */
  get ready(): boolean {
    return this.tasks.every((task) => task.outcome !== undefined);
  }

  /** The same, by the name that futures have for it. */
  get done(): boolean {
    return this.ready;
  }

  /** Whether some task has not ended. */
  get running(): boolean {
    return !this.ready;
  }

  /** Whether every task ended well. @throws UsageError when not ready */
  get successful(): boolean {
    this.assertReady();
    return this.tasks.every((task) => task.outcome?.ok === true);
  }

  /** Whether every task was aborted. */
  get cancelled(): boolean {
    return this.tasks.length > 0 && this.tasks.every((task) => task.status === 'aborted');
  }

  /** Whether every request was given to ZeroMQ. */
  get sent(): boolean {
    return this.tasks.every((task) => task.sent);
  }

  /** What `console.log` shows: how far the tasks are. */
  [inspect.custom](): string {
    const counts = new Map<TaskStatus, number>();
    for (const status of this.statuses) counts.set(status, (counts.get(status) ?? 0) + 1);
    const { length } = this.tasks;
    const what = length === 1 ? `task ${this.msgIds[0]}` : `${length} tasks`;
    const states = [...counts].map(([status, n]) => (length === 1 ? status : `${n} ${status}`));
    return `${this.constructor.name} <${[what, ...states].join(', ')}>`;
  }

  /** The status of each task now, in the order of `msgIds`. */
  get statuses(): readonly TaskStatus[] {
    return this.tasks.map((task) => task.status);
  }

  /**
   * The status of each task, in the order of `msgIds`: at once and at each change; completes when all have ended. Of more
   * than 100 tasks, changes that come close together are told as one.
   */
  get status$(): Observable<readonly TaskStatus[]> {
    return statusChanges(this.tasks, () => this.statuses);
  }

  /** How far the tasks are. */
  get progress(): Progress {
    return countProgress(this.statuses, this.shape.reassembly?.sizes);
  }

  /** How far the tasks are: when `status$` tells of them; completes when all have ended. */
  get progress$(): Observable<Progress> {
    return statusChanges(this.tasks, () => this.progress);
  }

  /** What is known of each task beside its result, in the order of `msgIds`; it is filled as it happens. */
  get metadata(): readonly TaskMetadata[] {
    return this.tasks.map((task) => task.metadata);
  }

  /** The engine that each task is or was on, as far as is known. */
  get engineIds(): readonly (number | null)[] {
    return this.tasks.map((task) => task.metadata.engineId);
  }

  /** What each task printed so far, in the order of `msgIds`; others' tasks have it once they have ended. */
  get stdout(): readonly string[] {
    return this.tasks.map((task) => task.stdout);
  }

  /** The same for stderr. */
  get stderr(): readonly string[] {
    return this.tasks.map((task) => task.stderr);
  }

  /** What each task displayed so far: the contents of its `display_data` messages. */
  get outputs(): readonly TaskMetadata['outputs'][] {
    return this.tasks.map((task) => task.metadata.outputs);
  }

  /** What each task published so far, the last value of each key. */
  get data(): readonly TaskMetadata['data'][] {
    return this.tasks.map((task) => task.metadata.data);
  }

  /** Why each task failed; null for those that have not. */
  get error(): readonly (Error | null)[] {
    return this.tasks.map((task) => (task.outcome?.ok === false ? task.outcome.error : task.metadata.error));
  }

  /** The output of all tasks: what there is, at once, then each piece as it comes; completes when no more is expected. */
  get output$(): Observable<OutputOfTask> {
    return merge(
      ...this.tasks.map((task) =>
        task.output$.pipe(map((output) => ({ msgId: task.msgId, engineId: task.metadata.engineId, output }))),
      ),
    );
  }

  /**
   * What the generators of JavaScript tasks yield, each value once, as they run; completes when no more is expected. What
   * came before the subscription is in the result only.
   */
  partials<Y = unknown>(): Observable<PartialResult<Y>> {
    return defer(() => partialsOf<Y>(this.output$));
  }

  /** Since the first submission, in ms; when ready, `wallTime`. */
  get elapsed(): number {
    return this.ready ? this.wallTime : elapsedSince(this.metadata, new Date());
  }

  /** The sum of the times that engines took for each task, in ms. @throws UsageError when not ready */
  get serialTime(): number {
    this.assertReady();
    return serialTime(this.metadata);
  }

  /** From the first submission to the last result received, in ms. @throws UsageError when not ready */
  get wallTime(): number {
    this.assertReady();
    return timedelta(this.metadata, 'submitted', 'received');
  }

  /**
   * The time between two sets of moments in ms, by default from the first start to the last end: dates, or a date of the
   * metadata by its name. @throws UsageError when it is not known. Mirrors ipyparallel `AsyncResult.timedelta`.
   */
  timedelta(start: Moments, end: Moments, options: TimedeltaOptions = {}): number {
    checkOptions(options, TIMEDELTA_OPTIONS, 'timedelta');
    return timedelta(this.metadata, start, end, options);
  }

  /** Waits until no more output is expected: true; or until `timeout` ms are over: false. */
  async waitForOutput(options: WaitOptions = {}): Promise<boolean> {
    checkOptions(options, WAIT_OPTIONS, 'waitForOutput');
    const all = Promise.all(this.tasks.map((task) => task.outputDone));
    return this.inTime(startDeadline(options, Number.POSITIVE_INFINITY), all);
  }

  /**
   * Aborts what has not ended; tasks that run on Python engines go on. Waits until the engines have answered.
   * @throws UsageError when all have ended. Mirrors ipyparallel `AsyncResult.abort`.
   */
  async abort(options: WaitOptions = {}): Promise<void> {
    checkOptions(options, WAIT_OPTIONS, 'abort');
    const open = this.tasks.filter((task) => task.outcome === undefined);
    if (open.length === 0) throw new UsageError('there is nothing to abort: every task has ended');
    // Joined results may be of several clients.
    const owners = new Set(open.map(({ owner }) => owner));
    await Promise.all(
      [...owners].map((owner) =>
        owner?.abort(
          open.filter((task) => task.owner === owner),
          options,
        ),
      ),
    );
  }

  /** Waits for the output and prints it, by default to `process.stdout` and `process.stderr`. */
  async displayOutputs(options: DisplayOutputsOptions & WaitOptions = {}): Promise<void> {
    checkOptions(options, DISPLAY_OUTPUTS_OPTIONS, 'displayOutputs');
    const all = Promise.all(this.tasks.map((task) => task.outputDone));
    await withinDeadline(startDeadline(options, Number.POSITIVE_INFINITY), all, this.timedOut);
    displayOutputs(this.metadata, this.shape.single, options);
  }

  /** Passes output on as it comes, what there is first: `using live = ar.streamOutput()`. Mirrors ipyparallel `AsyncResult.stream_output`. */
  streamOutput(options: StreamOutputOptions = {}): OutputStream {
    checkOptions(options, STREAM_OUTPUT_OPTIONS, 'streamOutput');
    return streamOutput(this.tasks, this.shape.single, options);
  }

  /** A handle for `JSON.stringify`, by which another process gets at the result: `rc.attach(handle)`. */
  toJSON(): ResultHandle {
    const { single, reassembly } = this.shape;
    const clusters = new Set(this.tasks.map(({ owner }) => owner?.cluster ?? null));
    if (clusters.size > 1) throw new UsageError('a handle is of one cluster, and these tasks are of several');
    const [cluster = null] = clusters;
    return makeHandle({
      cluster,
      msgIds: this.msgIds,
      single,
      ...(reassembly === undefined ? {} : { reassembly }),
    });
  }

  protected assertReady(): void {
    if (!this.ready) throw new UsageError('the result is not ready yet; wait for it first');
  }

  protected async inTime(deadline: Deadline, promise: Promise<unknown>): Promise<boolean> {
    const timedOut = Symbol('timed out') as unknown as Error;
    try {
      await withinDeadline(deadline, promise, () => timedOut);
      return true;
    } catch (error) {
      if (error === timedOut) return false;
      throw error;
    }
  }

  protected readonly timedOut = (waited: number): Error => {
    const open = this.tasks.filter((task) => task.outcome === undefined);
    const first = open[0];
    if (first === undefined) return timeoutError('the output has not come', waited);
    const which =
      open.length === 1
        ? `task ${first.msgId} (${first.status}) has not ended`
        : `${open.length} of ${this.tasks.length} tasks have not ended`;
    return timeoutError(which, waited);
  };
}
