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

/** How the values of tasks form one result. */
export interface ResultShape {
  /** Whether the result is the value of one task, not a list. */
  readonly single: boolean;
  /** How the chunks of a map form one list. */
  readonly reassembly?: Reassembly;
  /** The metadata that a resubmission dropped, by the new ids. */
  readonly dropped?: ReadonlyMap<string, readonly string[]>;
}

/** Several tasks: their status, progress, metadata and output, but not their values. */
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
   * The keys that the hub dropped in a resubmission, by the new ids: metadata (`targets`, `after`, `follow`, `retries`,
   * `label`, …), and `engine` for a direct task that may now run on any engine. Always empty with this project's hub.
   */
  get dropped(): ReadonlyMap<string, readonly string[]> {
    return this.shape.dropped ?? new Map();
  }

  /** The ids of the tasks. */
  get msgIds(): readonly string[] {
    return this.tasks.map((task) => task.msgId);
  }

  /** The number of elements: for a map the elements of its chunks, as far as known, else the number of tasks. */
  get length(): number {
    return this.progress.total;
  }

  /** Whether every task has ended. */
  get ready(): boolean {
    return this.tasks.every((task) => task.outcome !== undefined);
  }

  /** Python's name for `ready`. */
  get done(): boolean {
    return this.ready;
  }

  /** Whether some task has not ended. */
  get running(): boolean {
    return !this.ready;
  }

  /** Whether every task succeeded. @throws {UsageError} when tasks have not ended */
  get successful(): boolean {
    this.assertReady();
    return this.tasks.every((task) => task.outcome?.ok === true);
  }

  /** Whether every task was aborted. */
  get cancelled(): boolean {
    return this.tasks.length > 0 && this.tasks.every((task) => task.status === 'aborted');
  }

  /** Whether every request was passed to ZeroMQ. */
  get sent(): boolean {
    return this.tasks.every((task) => task.sent);
  }

  /** The text for `console.log`: the statuses of the tasks. */
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
   * Emits the status of each task, in the order of `msgIds`, at once and at each change; completes when all tasks have
   * ended. For more than 100 tasks, changes in quick succession are emitted together.
   */
  get status$(): Observable<readonly TaskStatus[]> {
    return statusChanges(this.tasks, () => this.statuses);
  }

  /** The progress of the tasks. */
  get progress(): Progress {
    return countProgress(this.statuses, this.shape.reassembly?.sizes);
  }

  /** Emits the progress when `status$` emits; completes when all tasks have ended. */
  get progress$(): Observable<Progress> {
    return statusChanges(this.tasks, () => this.progress);
  }

  /** The metadata of each task, in the order of `msgIds`; the objects are updated as the tasks proceed. */
  get metadata(): readonly TaskMetadata[] {
    return this.tasks.map((task) => task.metadata);
  }

  /** The id of the engine that has or had each task; null where it is unknown. */
  get engineIds(): readonly (number | null)[] {
    return this.tasks.map((task) => task.metadata.engineId);
  }

  /** The stdout of each task so far, in the order of `msgIds`; complete output of other clients' tasks arrives at their end. */
  get stdout(): readonly string[] {
    return this.tasks.map((task) => task.stdout);
  }

  /** The stderr of each task so far. */
  get stderr(): readonly string[] {
    return this.tasks.map((task) => task.stderr);
  }

  /** The contents of each task's `display_data` messages so far. */
  get outputs(): readonly TaskMetadata['outputs'][] {
    return this.tasks.map((task) => task.metadata.outputs);
  }

  /** The data that each task published so far: the last value of each key. */
  get data(): readonly TaskMetadata['data'][] {
    return this.tasks.map((task) => task.metadata.data);
  }

  /** The error of each task; null for tasks that have not failed. */
  get error(): readonly (Error | null)[] {
    return this.tasks.map((task) => (task.outcome?.ok === false ? task.outcome.error : task.metadata.error));
  }

  /** Emits the output of all tasks: the existing output at once, then each new piece; completes when no more is expected. */
  get output$(): Observable<OutputOfTask> {
    return merge(
      ...this.tasks.map((task) =>
        task.output$.pipe(map((output) => ({ msgId: task.msgId, engineId: task.metadata.engineId, output }))),
      ),
    );
  }

  /**
   * Emits the values that generators of JavaScript tasks yield, each value once; completes when no more are expected.
   * Values yielded before the subscription are in the result only.
   */
  partials<Y = unknown>(): Observable<PartialResult<Y>> {
    return defer(() => partialsOf<Y>(this.output$));
  }

  /** The time since the first submission in ms; when all tasks have ended, `wallTime`. */
  get elapsed(): number {
    return this.ready ? this.wallTime : elapsedSince(this.metadata, new Date());
  }

  /** The sum of the tasks' run times on the engines in ms. @throws {UsageError} when tasks have not ended */
  get serialTime(): number {
    this.assertReady();
    return serialTime(this.metadata);
  }

  /** The time from the first submission to the last result in ms. @throws {UsageError} when tasks have not ended */
  get wallTime(): number {
    this.assertReady();
    return timedelta(this.metadata, 'submitted', 'received');
  }

  /**
   * Returns the time between two sets of dates in ms, by default from the first start to the last end. A set is given as
   * dates or as the name of a date in the metadata. Mirrors ipyparallel `AsyncResult.timedelta`.
   * @throws {UsageError} when the dates are unknown
   */
  timedelta(start: Moments, end: Moments, options: TimedeltaOptions = {}): number {
    checkOptions(options, TIMEDELTA_OPTIONS, 'timedelta');
    return timedelta(this.metadata, start, end, options);
  }

  /** Waits until no more output is expected. @returns whether the output ended within `timeout` */
  async waitForOutput(options: WaitOptions = {}): Promise<boolean> {
    checkOptions(options, WAIT_OPTIONS, 'waitForOutput');
    const all = Promise.all(this.tasks.map((task) => task.outputDone));
    return this.inTime(startDeadline(options, Number.POSITIVE_INFINITY), all);
  }

  /**
   * Aborts the tasks that have not ended; tasks that run on Python engines continue. Waits for the replies of the
   * engines. Mirrors ipyparallel `AsyncResult.abort`.
   * @throws {UsageError} when all tasks have ended
   */
  async abort(options: WaitOptions = {}): Promise<void> {
    checkOptions(options, WAIT_OPTIONS, 'abort');
    const unfinished = this.tasks.filter((task) => task.outcome === undefined);
    if (unfinished.length === 0) throw new UsageError('every task has ended, so there is nothing to abort');
    // Joined results may belong to several clients.
    const owners = new Set(unfinished.map(({ owner }) => owner));
    await Promise.all(
      [...owners].map((owner) =>
        owner?.abort(
          unfinished.filter((task) => task.owner === owner),
          options,
        ),
      ),
    );
  }

  /**
   * Waits for the output and prints it, by default to `process.stdout` and `process.stderr`. Without a `timeout` it waits
   * indefinitely.
   * @throws {TimeoutError} when the output has not ended within `timeout` ms
   */
  async displayOutputs(options: DisplayOutputsOptions & WaitOptions = {}): Promise<void> {
    checkOptions(options, DISPLAY_OUTPUTS_OPTIONS, 'displayOutputs');
    const all = Promise.all(this.tasks.map((task) => task.outputDone));
    await withinDeadline(startDeadline(options, Number.POSITIVE_INFINITY), all, this.createTimeoutError);
    displayOutputs(this.metadata, this.shape.single, options);
  }

  /** Writes existing output and then new output to streams: `using live = ar.streamOutput()`. Mirrors ipyparallel `AsyncResult.stream_output`. */
  streamOutput(options: StreamOutputOptions = {}): OutputStream {
    checkOptions(options, STREAM_OUTPUT_OPTIONS, 'streamOutput');
    return streamOutput(this.tasks, this.shape.single, options);
  }

  /**
   * Returns a handle, also for `JSON.stringify`. With it another process reads the result: `rc.attach(handle)`.
   * @throws {UsageError} when the tasks belong to several clusters
   */
  toJSON(): ResultHandle {
    const { single, reassembly } = this.shape;
    const clusters = new Set(this.tasks.map(({ owner }) => owner?.cluster ?? null));
    if (clusters.size > 1)
      throw new UsageError('a handle can name tasks of one cluster only, and these tasks belong to several');
    const [cluster = null] = clusters;
    return makeHandle({
      cluster,
      msgIds: this.msgIds,
      single,
      ...(reassembly === undefined ? {} : { reassembly }),
    });
  }

  protected assertReady(): void {
    if (!this.ready) throw new UsageError('the tasks have not ended yet; call wait() first');
  }

  protected async inTime(deadline: Deadline, promise: Promise<unknown>): Promise<boolean> {
    const timeoutMarker = Symbol('timed out') as unknown as Error;
    try {
      await withinDeadline(deadline, promise, () => timeoutMarker);
      return true;
    } catch (error) {
      if (error === timeoutMarker) return false;
      throw error;
    }
  }

  protected readonly createTimeoutError = (waited: number): Error => {
    const unfinished = this.tasks.filter((task) => task.outcome === undefined);
    const first = unfinished[0];
    if (first === undefined) return timeoutError('the output has not ended', waited);
    const which =
      unfinished.length === 1
        ? `task ${first.msgId} (${first.status}) has not ended`
        : `${unfinished.length} of ${this.tasks.length} tasks have not ended`;
    return timeoutError(which, waited);
  };
}
