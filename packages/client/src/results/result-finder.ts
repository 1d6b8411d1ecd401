import { ConnectionClosedError, isDone, type TaskStatus, UsageError } from '@ipyparallel-js/protocol';
import { Observable } from 'rxjs';
import type { Transport } from '../connection/transport.js';
import type { FollowedTasks } from '../tasks/followed-tasks.js';
import type { SubmittedTasks } from '../tasks/submitted-tasks.js';
import type { Task, TaskOwner } from '../tasks/task.js';
import type { TaskMetadata } from '../tasks/task-metadata.js';
import { AsyncMapResult } from './async-map-result.js';
import { AsyncResult } from './async-result.js';
import { assertCluster, parseHandle } from './handle.js';

export interface ResultFinderParts {
  readonly submittedTasks: SubmittedTasks;
  readonly followedTasks: FollowedTasks;
  readonly owner: TaskOwner;
  readonly transport: Transport;
}

/** A task, named by its id or its position in the history. */
type TaskName = string | number;

/** Finds the results of tasks of any client by id, by position in the history, or by handle. */
export class ResultFinder {
  readonly #parts: ResultFinderParts;

  constructor(parts: ResultFinderParts) {
    this.#parts = parts;
  }

  /** Returns the result of one or several tasks; an AsyncResult is returned as it is. */
  of(jobs: TaskName | readonly TaskName[] | AsyncResult<unknown>): AsyncResult<unknown> {
    this.#assertOpen();
    if (jobs instanceof AsyncResult) return jobs;
    const single = typeof jobs === 'string' || typeof jobs === 'number';
    const history = single && typeof jobs === 'string' ? [] : this.#parts.submittedTasks.history;
    const ids = (single ? [jobs] : jobs).map((job) => idOf(job, history));
    return new AsyncResult(
      ids.map((id) => this.#task(id)),
      { single },
    );
  }

  /** Returns the result that a handle identifies. */
  attach(value: unknown, options: { readonly anyCluster?: boolean }): AsyncResult<unknown> {
    this.#assertOpen();
    const handle = parseHandle(value);
    const { owner, transport } = this.#parts;
    // A result without tasks belongs to no cluster.
    if (options.anyCluster !== true && handle.msgIds.length > 0)
      assertCluster(handle, owner.cluster, transport.address('registration'));
    const tasks = handle.msgIds.map((id) => this.#task(id));
    if (handle.reassembly !== undefined) return new AsyncMapResult<unknown>(tasks, handle.reassembly);
    return new AsyncResult(tasks, { single: handle.single });
  }

  /** Emits the status of a task; the hub is polled for other clients' tasks only while there is a subscriber. */
  status$(job: TaskName): Observable<TaskStatus> {
    this.#assertOpen();
    const { submittedTasks, followedTasks } = this.#parts;
    const id = idOf(job, typeof job === 'number' ? submittedTasks.history : []);
    return new Observable((subscriber) => {
      const submitted = submittedTasks.get(id);
      if (submitted !== undefined) return submitted.status$.subscribe(subscriber);
      const { task, release } = followedTasks.listen(id);
      const subscription = task.status$.subscribe(subscriber);
      subscription.add(release);
      return subscription;
    });
  }

  /** The cached values or errors of ended tasks that this client submitted, by id. */
  unreadResults(): ReadonlyMap<string, unknown> {
    const results = new Map<string, unknown>();
    for (const { msgId, outcome } of this.#parts.submittedTasks.heldTasks())
      if (outcome !== undefined) results.set(msgId, outcome.ok ? outcome.value : outcome.error);
    return results;
  }

  /** The metadata of the tasks that this client holds, by id. */
  metadata(): ReadonlyMap<string, TaskMetadata> {
    return new Map(
      [...this.#parts.submittedTasks.heldTasks()].map(({ msgId, metadata }) => [msgId, metadata]),
    );
  }

  #assertOpen(): void {
    if (this.#parts.transport.closed) throw new ConnectionClosedError('the client is closed');
  }

  #task(id: string): Task {
    const { submittedTasks, followedTasks } = this.#parts;
    const submitted = submittedTasks.get(id);
    // A task that failed while the controller could not be reached may have an outcome at the hub by now.
    const needsHub =
      submitted === undefined || (submitted.outcome !== undefined && !isDone(submitted.status));
    return needsHub ? followedTasks.follow(id, submittedTasks.hasSubmitted(id)) : submitted;
  }
}

function idOf(job: TaskName, history: readonly string[]): string {
  if (typeof job === 'string') return job;
  if (typeof job !== 'number')
    throw new UsageError(
      `a task must be named by its msg_id (string) or its position in the history (number), got ${typeof job}`,
    );
  const id = Number.isInteger(job) ? history.at(job) : undefined;
  if (id === undefined)
    throw new UsageError(`no task at position ${job} of the history, which has ${history.length} tasks`);
  return id;
}
