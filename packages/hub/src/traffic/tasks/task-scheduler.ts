import { type Dict, parentId, type Session } from '@ipyparallel-js/protocol';
import type { Frames, Intake, Logger, RefusalCounter } from '@ipyparallel-js/wire';
import type { Clock } from '../../common/clock.js';
import { countingIntake } from '../../common/counting-intake.js';
import { errorContent } from '../../common/errors.js';
import type { Monitor } from '../../thread-link/schedulers.js';
import type { Dependency } from './dependency.js';
import { EnginePool, type PoolEngine } from './engine-pool.js';
import { FinishedLog } from './finished-tasks.js';
import { Job } from './job.js';
import { SCHEMES, type SchemeName } from './schemes.js';

export interface TaskSchedulerOptions {
  readonly session: Session;
  readonly scheme: SchemeName;
  /** How many tasks an engine may have at a time; 0 for any number. */
  readonly hwm: number;
  /** How long the results of an unregistered engine may still arrive, in ms. */
  readonly strandedDelay: number;
  readonly toEngine: (frames: Frames) => void;
  readonly toClient: (frames: Frames) => void;
  readonly monitor: Pick<Monitor, 'taskRequest' | 'taskReply' | 'taskAssigned'>;
  readonly refusals: RefusalCounter;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random?: () => number;
}

const MAX_TIMER = 2 ** 31 - 1;

/**
 * The load-balanced queue: assigns each task to an engine once its dependencies are met, retries failed tasks on other
 * engines, and replies with an error for tasks that cannot run, instead of letting them wait. Mirrors ipyparallel's
 * TaskScheduler.
 */
export class TaskScheduler {
  readonly #options: TaskSchedulerOptions;
  readonly #pool: EnginePool;
  readonly #finishedTasks = new FinishedLog();
  /** Tasks whose dependencies are met and that wait for an engine, oldest first. */
  readonly #readyJobs = new Map<string, Job>();
  /** Tasks whose `after` is not met. */
  readonly #waitingJobs = new Map<string, Job>();
  /** The tasks that depend on a task that has not ended. */
  readonly #dependents = new Map<string, Set<Job>>();
  /** All tasks that have not ended. */
  readonly #jobs = new Map<string, Job>();
  /** Unregistered engines with tasks whose results may still arrive. */
  readonly #departedEngines = new Map<PoolEngine, NodeJS.Timeout>();
  readonly #intake: Intake;
  /** Ended tasks whose dependents are not placed yet: a queue, because recursion would limit the length of chains. */
  readonly #endedIds: string[] = [];
  #isPlacingDependents = false;

  constructor(options: TaskSchedulerOptions) {
    this.#options = options;
    this.#pool = new EnginePool(options.hwm, SCHEMES[options.scheme], options.random ?? Math.random);
    this.#intake = countingIntake(options.session, options.refusals);
  }

  /** Stops all timers; queued tasks stay queued. */
  stop(): void {
    for (const job of this.#jobs.values()) clearTimeout(job.timer);
    for (const timer of this.#departedEngines.values()) clearTimeout(timer);
  }

  addEngine(uuid: string): void {
    this.#pool.add(uuid);
    this.#runReady(uuid);
  }

  /** Assigns the engine no more tasks. Its tasks fail after `strandedDelay`, because results may still arrive. */
  removeEngine(uuid: string): void {
    const engine = this.#pool.remove(uuid);
    if (engine === undefined) return;
    if (engine.pendingJobs.size > 0) {
      const timer = setTimeout(() => this.#failStranded(engine), this.#options.strandedDelay);
      this.#departedEngines.set(engine, timer);
    }
    // Tasks that could run on this engine alone cannot run any more.
    for (const job of [...this.#readyJobs.values()]) this.#failIfImpossible(job);
    this.#placeDependents();
  }

  /** A request from a client: [client, delimiter, message]. */
  submit(frames: readonly Buffer[]): void {
    const message = this.#intake.decode('task request', frames);
    if (message === undefined) return;
    if (this.#jobs.has(message.msg_id)) {
      this.#options.refusals.count('a task request under the msg_id of a task that has not ended');
      return;
    }
    this.#options.monitor.taskRequest(frames);
    const job = new Job(frames, message);
    const problem = this.#invalidDependency(job);
    this.#jobs.set(job.msgId, job);
    if (problem !== undefined) this.#fail(job, 'InvalidDependency', problem);
    else this.#place(job);
    this.#placeDependents();
  }

  /** A reply from an engine: [engine, client, delimiter, message]. */
  reply(frames: readonly Buffer[]): void {
    const message = this.#intake.decode('task reply', frames);
    const sender = frames[0]?.toString('utf8');
    if (message === undefined || sender === undefined || message.idents.length < 2) return;
    const msgId = parentId(message);
    const job = msgId === undefined ? undefined : this.#removePending(sender, msgId);
    if (job === undefined) {
      this.#forwardUnknown(frames, sender, msgId);
      return;
    }
    const { metadata } = message;
    if (metadata['dependencies_met'] === false) {
      job.blacklist.add(sender);
      this.#place(job);
    } else {
      this.#handleResult(job, sender, frames, String(metadata['status'] ?? message.content['status']));
    }
    this.#runReady(sender);
  }

  /**
   * Forwards the result of a task that this queue never had. The task was assigned by the previous run of the
   * controller; its client may still wait for the result, and the hub must record it. Its signature is verified.
   */
  #forwardUnknown(frames: readonly Buffer[], sender: string, msgId: string | undefined): void {
    const [engine, client, ...rest] = frames;
    const isKnown =
      msgId === undefined || this.#jobs.has(msgId) || this.#finishedTasks.get(msgId) !== undefined;
    if (isKnown || engine === undefined || client === undefined) {
      this.#options.log.debug(
        `ignored a reply of engine ${sender} to ${msgId ?? 'no task'}: the engine has no such task`,
      );
      return;
    }
    this.#options.log.info(`forwarded the reply of engine ${sender} to ${msgId}, a task of the previous run`);
    this.#deliver([client, engine, ...rest]);
  }

  /** Removes a task from its engine, even if the engine was unregistered. */
  #removePending(uuid: string, msgId: string): Job | undefined {
    const engines = [...this.#departedEngines.keys()].filter((engine) => engine.uuid === uuid);
    for (const engine of [this.#pool.get(uuid), ...engines]) {
      const job = engine?.pendingJobs.get(msgId);
      if (job === undefined) continue;
      engine?.pendingJobs.delete(msgId);
      return job;
    }
    return undefined;
  }

  #handleResult(job: Job, engine: string, frames: readonly Buffer[], status: string): void {
    const [identity, client, ...rest] = frames;
    if (identity === undefined || client === undefined) return;
    const reply = [client, identity, ...rest];
    // An aborted task must not be retried on another engine.
    if (status === 'error' && job.retries > 0) {
      job.retries--;
      job.blacklist.add(engine);
      job.lastFailure = reply;
      this.#place(job);
    } else {
      this.#deliver(reply);
      this.#recordEnd(job, { success: status === 'ok', engine });
    }
  }

  #deliver(frames: readonly Buffer[]): void {
    this.#options.monitor.taskReply(frames);
    this.#options.toClient(frames);
  }

  #invalidDependency(job: Job): string | undefined {
    if (!job.hasValidDependencies) return 'after and follow must be lists of msg_ids';
    for (const id of job.dependencies) {
      if (id === job.msgId) return 'a task cannot depend on itself';
      if (!this.#jobs.has(id) && this.#finishedTasks.get(id) === undefined) {
        return `unknown task ${id}: a task can depend only on tasks of this queue`;
      }
    }
    return undefined;
  }

  /** Runs, queues or fails a task. */
  #place(job: Job): void {
    const finished = this.#finishedTasks.get;
    if (job.after.isUnreachable(finished) || job.follow.isUnreachable(finished)) {
      this.#fail(job, 'ImpossibleDependency', 'a task in after or follow did not end as this task requires');
      return;
    }
    if (!job.after.isMet(finished)) {
      this.#waitingJobs.set(job.msgId, job);
    } else {
      if (this.#run(job) || this.#failIfImpossible(job)) return;
      this.#readyJobs.set(job.msgId, job);
    }
    for (const id of job.dependencies) {
      if (finished(id) !== undefined) continue;
      const dependents = this.#dependents.get(id);
      if (dependents === undefined) this.#dependents.set(id, new Set([job]));
      else dependents.add(job);
    }
    if (job.timeout > 0 && job.timeout < MAX_TIMER) {
      job.timer ??= setTimeout(() => this.#timeOut(job), job.timeout);
    }
  }

  /** Assigns a task to an engine. @returns false when no engine can accept it now */
  #run(job: Job): boolean {
    const finished = this.#finishedTasks.get;
    const allows = job.runsOnAnyEngine
      ? undefined
      : (uuid: string) => this.#mayRunOn(job, uuid) && job.follow.isMetOn(uuid, finished);
    const engine = this.#pool.choose(allows);
    if (engine === undefined) return false;
    this.#removeFromQueue(job);
    this.#pool.assign(engine, job);
    this.#options.monitor.taskAssigned(job.msgId, engine.uuid);
    this.#options.toEngine([engine.uuid, ...job.frames]);
    return true;
  }

  #mayRunOn(job: Job, uuid: string): boolean {
    return !job.blacklist.has(uuid) && (job.targets === undefined || job.targets.has(uuid));
  }

  /** Runs ready tasks on an engine with capacity. `#place` has already tried the other engines for each task. */
  #runReady(uuid: string): void {
    for (const job of this.#readyJobs.values()) {
      if (!this.#pool.hasCapacityAt(uuid)) break;
      this.#run(job);
    }
    this.#placeDependents();
  }

  /**
   * Fails a task that no engine can run, neither now nor after another task ends. A task that was refused or has failed
   * on all engines waits for a new engine only if it has a timeout.
   */
  #failIfImpossible(job: Job): boolean {
    if (job.runsOnAnyEngine) return false;
    const finished = this.#finishedTasks.get;
    let candidates = [...this.#pool.uuids()];
    if (job.follow.ids.size > 0) candidates = candidates.filter((uuid) => this.#mayFollow(job.follow, uuid));
    if (candidates.length === 0 && job.follow.ids.size > 0 && job.follow.engines(finished).size > 0) {
      return this.#fail(
        job,
        'ImpossibleDependency',
        'the tasks in follow ran on several engines, or on one that is no longer registered',
      );
    }
    if (candidates.some((uuid) => this.#mayRunOn(job, uuid))) return false;
    if (job.targets === undefined && (this.#pool.size === 0 || job.timeout > 0)) return false;
    if (job.lastFailure !== undefined) {
      this.#removeFromQueue(job);
      this.#deliver(job.lastFailure);
      this.#recordEnd(job, { success: false, engine: String(job.lastFailure[1]) });
      return true;
    }
    return this.#fail(job, 'ImpossibleDependency', 'no registered engine may run this task');
  }

  #mayFollow(follow: Dependency, uuid: string): boolean {
    if (follow.isMetOn(uuid, this.#finishedTasks.get)) return true;
    const hasUnfinished = [...follow.ids].some((id) => this.#finishedTasks.get(id) === undefined);
    if (!hasUnfinished) return false;
    if (!follow.all) return true;
    const engines = follow.engines(this.#finishedTasks.get);
    return engines.size === 0 || (engines.size === 1 && engines.has(uuid));
  }

  #timeOut(job: Job): void {
    if (!this.#readyJobs.has(job.msgId) && !this.#waitingJobs.has(job.msgId)) return;
    this.#fail(job, 'TaskTimeout', `no engine could run the task within ${job.timeout / 1000} s`);
    this.#placeDependents();
  }

  #failStranded(engine: PoolEngine): void {
    this.#departedEngines.delete(engine);
    const { uuid } = engine;
    for (const job of engine.pendingJobs.values()) {
      const evalue = `Engine ${uuid} died while running task ${job.msgId}`;
      const metadata = { status: 'error', engine: uuid, date: this.#options.clock.wireNow() };
      const frames = this.#errorReply(job, 'EngineError', evalue, metadata);
      const [client, ...rest] = frames;
      if (client !== undefined) this.#handleResult(job, uuid, [Buffer.from(uuid), client, ...rest], 'error');
    }
    this.#placeDependents();
  }

  #fail(job: Job, ename: string, evalue: string): true {
    this.#removeFromQueue(job);
    this.#deliver(this.#errorReply(job, ename, evalue, {}));
    this.#recordEnd(job, { success: false, engine: '' });
    return true;
  }

  #errorReply(job: Job, ename: string, evalue: string, metadata: Dict): Buffer[] {
    const { session, clock } = this.#options;
    const type = job.header.msg_type === 'execute_request' ? 'execute_reply' : 'apply_reply';
    const reply = session.rawMessage(type, errorContent(ename, evalue), { parent: job.header, metadata });
    return session.encode({ ...reply, header: { ...reply.header, date: clock.wireNow() } }, job.client);
  }

  #removeFromQueue(job: Job): void {
    clearTimeout(job.timer);
    job.timer = undefined;
    this.#readyJobs.delete(job.msgId);
    this.#waitingJobs.delete(job.msgId);
    for (const id of job.dependencies) {
      const dependents = this.#dependents.get(id);
      dependents?.delete(job);
      if (dependents?.size === 0) this.#dependents.delete(id);
    }
  }

  #recordEnd(job: Job, outcome: { success: boolean; engine: string }): void {
    this.#jobs.delete(job.msgId);
    this.#finishedTasks.set(job.msgId, outcome);
    this.#endedIds.push(job.msgId);
  }

  /** Places the tasks that depend on ended tasks. */
  #placeDependents(): void {
    if (this.#isPlacingDependents) return;
    this.#isPlacingDependents = true;
    try {
      for (let id = this.#endedIds.shift(); id !== undefined; id = this.#endedIds.shift()) {
        const dependents = this.#dependents.get(id);
        this.#dependents.delete(id);
        for (const job of dependents ?? []) {
          if (!this.#jobs.has(job.msgId)) continue;
          this.#waitingJobs.delete(job.msgId);
          this.#readyJobs.delete(job.msgId);
          this.#place(job);
        }
      }
    } finally {
      this.#isPlacingDependents = false;
    }
  }
}
