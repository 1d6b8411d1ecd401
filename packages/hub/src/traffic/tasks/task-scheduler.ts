import {
  type AnyMessage,
  type Dict,
  parentId,
  type ReplayHistory,
  type Session,
} from '@ipyparallel-js/protocol';
import type { Frames, Logger, RefusalCounter } from '@ipyparallel-js/wire';
import type { Clock } from '../../common/clock.js';
import { errorContent } from '../../common/errors.js';
import type { Monitor } from '../../thread-link/schedulers.js';
import type { Dependency } from './dependency.js';
import { EnginePool, type PoolEngine } from './engine-pool.js';
import { FinishedLog } from './finished-tasks.js';
import { Job } from './job.js';
import { SCHEMES, type SchemeName } from './schemes.js';

/** What a task scheduler is connected to. */
export interface TaskSchedulerOptions {
  readonly session: Session;
  readonly scheme: SchemeName;
  /** Tasks that an engine may have at a time; 0 for any number. */
  readonly hwm: number;
  /** How long an unregistered engine's results may still arrive, in ms. */
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
 * The load-balanced queue: gives each task to an engine once its dependencies are met, tries failed ones elsewhere,
 * and answers for those that cannot run. Mirrors ipyparallel's TaskScheduler; no task waits for what cannot happen.
 */
export class TaskScheduler {
  readonly #options: TaskSchedulerOptions;
  readonly #pool: EnginePool;
  readonly #finished = new FinishedLog();
  /** Tasks that may run as soon as an engine suits them, oldest first. */
  readonly #ready = new Map<string, Job>();
  /** Tasks whose `after` is not met. */
  readonly #waiting = new Map<string, Job>();
  /** Who depends on a task that has not ended. */
  readonly #dependents = new Map<string, Set<Job>>();
  /** Every task that has not ended. */
  readonly #jobs = new Map<string, Job>();
  /** Unregistered engines that still owe results. */
  readonly #departed = new Map<PoolEngine, NodeJS.Timeout>();
  readonly #fromClients: ReplayHistory;
  readonly #fromEngines: ReplayHistory;
  /** Ends whose consequences are still to be drawn: a loop, not a recursion, for chains of any length. */
  readonly #ended: string[] = [];
  #drawing = false;

  constructor(options: TaskSchedulerOptions) {
    this.#options = options;
    this.#pool = new EnginePool(options.hwm, SCHEMES[options.scheme], options.random ?? Math.random);
    this.#fromClients = options.session.newHistory();
    this.#fromEngines = options.session.newHistory();
  }

  /** Stops its timers; queued tasks stay as they are. */
  stop(): void {
    for (const job of this.#jobs.values()) clearTimeout(job.timer);
    for (const timer of this.#departed.values()) clearTimeout(timer);
  }

  addEngine(uuid: string): void {
    this.#pool.add(uuid);
    this.#runReady(uuid);
  }

  /** Gives the engine no more tasks; what it has fails after a while, for results may still be on their way. */
  removeEngine(uuid: string): void {
    const engine = this.#pool.remove(uuid);
    if (engine === undefined) return;
    if (engine.pending.size > 0) {
      const timer = setTimeout(() => this.#failStranded(engine), this.#options.strandedDelay);
      this.#departed.set(engine, timer);
    }
    // Whoever waited for this engine alone waits for nothing now.
    for (const job of [...this.#ready.values()]) this.#failIfImpossible(job);
    this.#drawConsequences();
  }

  /** A request from a client: [client, delimiter, message]. */
  submit(frames: readonly Buffer[]): void {
    const message = this.#decode(frames, this.#fromClients, 'task request');
    if (message === undefined) return;
    if (this.#jobs.has(message.msg_id)) {
      this.#options.refusals.count('a task request under the msg_id of a task that has not ended');
      return;
    }
    this.#options.monitor.taskRequest(frames);
    const job = new Job(frames, message);
    const invalid = this.#invalidDependency(job);
    this.#jobs.set(job.msgId, job);
    if (invalid !== undefined) this.#fail(job, 'InvalidDependency', invalid);
    else this.#place(job);
    this.#drawConsequences();
  }

  /** A reply from an engine: [engine, client, delimiter, message]. */
  reply(frames: readonly Buffer[]): void {
    const message = this.#decode(frames, this.#fromEngines, 'task reply');
    const sender = frames[0]?.toString('utf8');
    if (message === undefined || sender === undefined || message.idents.length < 2) return;
    const msgId = parentId(message);
    const job = msgId === undefined ? undefined : this.#takeBack(sender, msgId);
    if (job === undefined) {
      this.#passOn(frames, sender, msgId);
      return;
    }
    const { metadata } = message;
    if (metadata['dependencies_met'] === false) {
      job.blacklist.add(sender);
      this.#place(job);
    } else {
      this.#conclude(job, sender, frames, String(metadata['status'] ?? message.content['status']));
    }
    this.#runReady(sender);
  }

  /**
   * A result of a task that this queue never had is of the life of the controller before this one: whoever waits for it
   * may still be there, and it belongs into the records. It is signed as any other.
   */
  #passOn(frames: readonly Buffer[], sender: string, msgId: string | undefined): void {
    const [engine, client, ...rest] = frames;
    const isKnown = msgId === undefined || this.#jobs.has(msgId) || this.#finished.get(msgId) !== undefined;
    if (isKnown || engine === undefined || client === undefined) {
      this.#options.log.debug(`reply of engine ${sender} to ${msgId ?? 'nothing'}, which it does not have`);
      return;
    }
    this.#options.log.info(`engine ${sender} has answered ${msgId}, a task of the run before`);
    this.#deliver([client, engine, ...rest]);
  }

  /** The task that an engine answers, from what it has; also from what it had before it was unregistered. */
  #takeBack(uuid: string, msgId: string): Job | undefined {
    const departed = [...this.#departed.keys()].filter((engine) => engine.uuid === uuid);
    for (const engine of [this.#pool.get(uuid), ...departed]) {
      const job = engine?.pending.get(msgId);
      if (job === undefined) continue;
      engine?.pending.delete(msgId);
      return job;
    }
    return undefined;
  }

  #conclude(job: Job, engine: string, frames: readonly Buffer[], status: string): void {
    const [from, client, ...rest] = frames;
    if (from === undefined || client === undefined) return;
    const swapped = [client, from, ...rest];
    // A task that its client aborted must not come back elsewhere.
    if (status === 'error' && job.retries > 0) {
      job.retries--;
      job.blacklist.add(engine);
      job.lastFailure = swapped;
      this.#place(job);
    } else {
      this.#deliver(swapped);
      this.#end(job, { success: status === 'ok', engine });
    }
  }

  #deliver(frames: readonly Buffer[]): void {
    this.#options.monitor.taskReply(frames);
    this.#options.toClient(frames);
  }

  #decode(frames: readonly Buffer[], history: ReplayHistory, what: string): AnyMessage | undefined {
    try {
      return this.#options.session.decode(frames, history);
    } catch (error) {
      this.#options.refusals.count(`a ${what}: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  }

  #invalidDependency(job: Job): string | undefined {
    if (!job.valid) return 'after and follow take lists of msg_ids';
    for (const id of job.dependencies) {
      if (id === job.msgId) return 'a task cannot depend on itself';
      if (!this.#jobs.has(id) && this.#finished.get(id) === undefined) {
        return `${id} is no task of this queue`;
      }
    }
    return undefined;
  }

  /** Runs a task, queues it, or fails it. */
  #place(job: Job): void {
    const finished = this.#finished.get;
    if (job.after.unreachable(finished) || job.follow.unreachable(finished)) {
      this.#fail(job, 'ImpossibleDependency', 'a task that this one depends on did not end as it requires');
      return;
    }
    if (!job.after.met(finished)) {
      this.#waiting.set(job.msgId, job);
    } else {
      if (this.#run(job) || this.#failIfImpossible(job)) return;
      this.#ready.set(job.msgId, job);
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

  /** Gives the task to an engine; false when none can take it now. */
  #run(job: Job): boolean {
    const finished = this.#finished.get;
    const allows = job.anywhere
      ? undefined
      : (uuid: string) => this.#admits(job, uuid) && job.follow.metOn(uuid, finished);
    const engine = this.#pool.choose(allows);
    if (engine === undefined) return false;
    this.#unqueue(job);
    this.#pool.assign(engine, job);
    this.#options.monitor.taskAssigned(job.msgId, engine.uuid);
    this.#options.toEngine([engine.uuid, ...job.frames]);
    return true;
  }

  #admits(job: Job, uuid: string): boolean {
    return !job.blacklist.has(uuid) && (job.targets === undefined || job.targets.has(uuid));
  }

  /** An engine has room. Others that have some can do nothing of what is ready: each task was tried there when it came. */
  #runReady(uuid: string): void {
    for (const job of this.#ready.values()) {
      if (!this.#pool.hasRoomAt(uuid)) break;
      this.#run(job);
    }
    this.#drawConsequences();
  }

  /**
   * Fails a task that no engine can run, now or when another task has ended. A task that was refused or has failed
   * everywhere waits for a new engine only if it has a timeout.
   */
  #failIfImpossible(job: Job): boolean {
    if (job.anywhere) return false;
    const finished = this.#finished.get;
    let places = [...this.#pool.uuids()];
    if (job.follow.ids.size > 0) places = places.filter((uuid) => this.#mayFollow(job.follow, uuid));
    if (places.length === 0 && job.follow.ids.size > 0 && job.follow.engines(finished).size > 0) {
      return this.#fail(
        job,
        'ImpossibleDependency',
        'the tasks to follow ran on several engines, or on one that is gone',
      );
    }
    if (places.some((uuid) => this.#admits(job, uuid))) return false;
    if (job.targets === undefined && (this.#pool.size === 0 || job.timeout > 0)) return false;
    if (job.lastFailure !== undefined) {
      this.#unqueue(job);
      this.#deliver(job.lastFailure);
      this.#end(job, { success: false, engine: String(job.lastFailure[1]) });
      return true;
    }
    return this.#fail(job, 'ImpossibleDependency', 'no engine is left that may run this task');
  }

  #mayFollow(follow: Dependency, uuid: string): boolean {
    if (follow.metOn(uuid, this.#finished.get)) return true;
    const open = [...follow.ids].some((id) => this.#finished.get(id) === undefined);
    if (!open) return false;
    if (!follow.all) return true;
    const engines = follow.engines(this.#finished.get);
    return engines.size === 0 || (engines.size === 1 && engines.has(uuid));
  }

  #timeOut(job: Job): void {
    if (!this.#ready.has(job.msgId) && !this.#waiting.has(job.msgId)) return;
    this.#fail(job, 'TaskTimeout', `no engine could run the task within ${job.timeout / 1000} s`);
    this.#drawConsequences();
  }

  #failStranded(engine: PoolEngine): void {
    this.#departed.delete(engine);
    const { uuid } = engine;
    for (const job of engine.pending.values()) {
      const evalue = `Engine ${uuid} died while running task ${job.msgId}`;
      const metadata = { status: 'error', engine: uuid, date: this.#options.clock.exact() };
      const frames = this.#errorReply(job, 'EngineError', evalue, metadata);
      const [client, ...rest] = frames;
      if (client !== undefined) this.#conclude(job, uuid, [Buffer.from(uuid), client, ...rest], 'error');
    }
    this.#drawConsequences();
  }

  #fail(job: Job, ename: string, evalue: string): true {
    this.#unqueue(job);
    this.#deliver(this.#errorReply(job, ename, evalue, {}));
    this.#end(job, { success: false, engine: '' });
    return true;
  }

  #errorReply(job: Job, ename: string, evalue: string, metadata: Dict): Buffer[] {
    const { session, clock } = this.#options;
    const type = job.header.msg_type === 'execute_request' ? 'execute_reply' : 'apply_reply';
    const reply = session.rawMessage(type, errorContent(ename, evalue), { parent: job.header, metadata });
    return session.encode({ ...reply, header: { ...reply.header, date: clock.exact() } }, job.client);
  }

  #unqueue(job: Job): void {
    clearTimeout(job.timer);
    job.timer = undefined;
    this.#ready.delete(job.msgId);
    this.#waiting.delete(job.msgId);
    for (const id of job.dependencies) {
      const dependents = this.#dependents.get(id);
      dependents?.delete(job);
      if (dependents?.size === 0) this.#dependents.delete(id);
    }
  }

  #end(job: Job, how: { success: boolean; engine: string }): void {
    this.#jobs.delete(job.msgId);
    this.#finished.set(job.msgId, how);
    this.#ended.push(job.msgId);
  }

  /** Starts or fails those that depended on what has ended. */
  #drawConsequences(): void {
    if (this.#drawing) return;
    this.#drawing = true;
    try {
      for (let id = this.#ended.shift(); id !== undefined; id = this.#ended.shift()) {
        const dependents = this.#dependents.get(id);
        this.#dependents.delete(id);
        for (const job of dependents ?? []) {
          if (!this.#jobs.has(job.msgId)) continue;
          this.#waiting.delete(job.msgId);
          this.#ready.delete(job.msgId);
          this.#place(job);
        }
      }
    } finally {
      this.#drawing = false;
    }
  }
}
