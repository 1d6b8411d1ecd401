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

/** A task by its id, or by its place in the history. */
type Named = string | number;

/** Gives results of tasks, own or others', however they are named. */
export class ResultFinder {
  readonly #parts: ResultFinderParts;

  constructor(parts: ResultFinderParts) {
    this.#parts = parts;
  }

  /** The result of one task, or of several; a result is its own. */
  of(jobs: Named | readonly Named[] | AsyncResult<unknown>): AsyncResult<unknown> {
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

  /** The result that a handle names. */
  attach(value: unknown, options: { readonly anyCluster?: boolean }): AsyncResult<unknown> {
    this.#assertOpen();
    const handle = parseHandle(value);
    const { owner, transport } = this.#parts;
    // A result of no tasks is of no cluster.
    if (options.anyCluster !== true && handle.msgIds.length > 0)
      assertCluster(handle, owner.cluster, transport.address('registration'));
    const tasks = handle.msgIds.map((id) => this.#task(id));
    if (handle.reassembly !== undefined) return new AsyncMapResult<unknown>(tasks, handle.reassembly);
    return new AsyncResult(tasks, { single: handle.single });
  }

  /** The status of a task; others' are followed while somebody listens. */
  status$(job: Named): Observable<TaskStatus> {
    this.#assertOpen();
    const { submittedTasks, followedTasks } = this.#parts;
    const id = idOf(job, typeof job === 'number' ? submittedTasks.history : []);
    return new Observable((subscriber) => {
      const mine = submittedTasks.get(id);
      if (mine !== undefined) return mine.status$.subscribe(subscriber);
      const { task, release } = followedTasks.listen(id);
      const subscription = task.status$.subscribe(subscriber);
      subscription.add(release);
      return subscription;
    });
  }

  /** What is held of own tasks that have ended: value or error by id. */
  held(): ReadonlyMap<string, unknown> {
    const held = new Map<string, unknown>();
    for (const { msgId, outcome } of this.#parts.submittedTasks.held())
      if (outcome !== undefined) held.set(msgId, outcome.ok ? outcome.value : outcome.error);
    return held;
  }

  /** What is known of own tasks that are held. */
  metadata(): ReadonlyMap<string, TaskMetadata> {
    return new Map([...this.#parts.submittedTasks.held()].map(({ msgId, metadata }) => [msgId, metadata]));
  }

  #assertOpen(): void {
    if (this.#parts.transport.closed) throw new ConnectionClosedError('the client is closed');
  }

  #task(id: string): Task {
    const { submittedTasks, followedTasks } = this.#parts;
    const mine = submittedTasks.get(id);
    // Given up while the controller was out of reach: how it ended may be known by now.
    const open = mine === undefined || (mine.outcome !== undefined && !isDone(mine.status));
    return open ? followedTasks.follow(id, submittedTasks.hasSubmitted(id)) : mine;
  }
}

function idOf(job: Named, history: readonly string[]): string {
  if (typeof job === 'string') return job;
  if (typeof job !== 'number')
    throw new UsageError(
      `a task is named by its msg_id, a text, or its place in the history, not by ${typeof job}`,
    );
  const id = Number.isInteger(job) ? history.at(job) : undefined;
  if (id === undefined) throw new UsageError(`no task ${job} in the history, which has ${history.length}`);
  return id;
}
