import type { AnyMessage, Dict, Header, Session } from '@ipyparallel-js/protocol';
import { getOwn, getOwnString, isDict } from '@ipyparallel-js/protocol/internal';
import type { Logger } from '@ipyparallel-js/wire';
import { toWellFormedText } from '../common/well-formed-text.js';
import type { FailureInfo, JobOutcome, KernelJob } from '../kernel-channel/messages.js';
import type { KernelEvents, KernelProcess } from './kernel-process.js';
import type { LostRequest } from './lost-tasks.js';
import type { Publisher } from './publisher.js';
import { type EngineIdentity, engineInfo, replyMetadata, type TaskOutcome } from './reply-metadata.js';
import { hasIdIn, type Task, TaskQueue } from './task-queue.js';

export interface TaskRunnerOptions {
  readonly session: Session;
  readonly publisher: Publisher;
  readonly engine: EngineIdentity;
  readonly log: Logger;
  readonly now: () => Date;
  /** Forks a kernel that reports to `events`. */
  readonly startKernel: (events: KernelEvents) => Promise<KernelProcess>;
  /** Called when the kernel has died unexpectedly, after all tasks have received a reply. */
  readonly onKernelDeath: (how: string) => void;
}

interface RunningTask {
  readonly task: Task;
  readonly job: number;
  readonly method: 'execute' | 'apply';
  readonly silent: boolean;
  readonly started: Date;
}

/** Runs tasks in the kernel, one at a time in the order of their arrival, and sends their replies. */
export class TaskRunner {
  readonly #options: TaskRunnerOptions;
  readonly #queue = new TaskQueue();
  #kernel: KernelProcess | undefined;
  #generation = 0;
  #kernelCount = 0;
  #runningTask: RunningTask | undefined;
  /** The resolvers of outstanding `clear` calls. */
  #clearResolvers: (() => void)[] = [];
  #isClearing = false;
  #isStopped = false;
  #jobCount = 0;
  #executionCount = 0;
  #lastParent: Header | undefined;

  private constructor(options: TaskRunnerOptions) {
    this.#options = options;
  }

  /** Starts the first kernel. @throws {EngineError} when it dies before it is ready. */
  static async start(options: TaskRunnerOptions): Promise<TaskRunner> {
    const runner = new TaskRunner(options);
    await runner.#startKernel();
    return runner;
  }

  get kernelPid(): number {
    return this.#kernel?.pid ?? 0;
  }

  push(task: Task): void {
    if (this.#isStopped) return;
    const state = this.#queue.push(task);
    if (state === 'queued') this.#startNext();
    else if (state === 'aborted') this.#replyAborted(task);
  }

  /** Returns the given ids that the engine has not received. The last 10,000 received ids are stored. */
  findUnreceived(msgIds: readonly string[]): string[] {
    const running = this.#runningTask?.task.request.msg_id;
    return this.#queue.findUnreceived(msgIds).filter((id) => id !== running);
  }

  /** Replies to a task that never arrived with an EngineError. The task does not run if it arrives later. */
  failLost(request: LostRequest, reply: Task['reply']): void {
    const { session, engine, now, publisher } = this.#options;
    const { header, client } = request;
    const msgId = String(header['msg_id']);
    this.#queue.markLost(msgId);
    const evalue = `task ${msgId} was sent to engine ${engine.id} (${engine.uuid}) while the engine was not connected to its controller; the message was lost and the task did not run`;
    const failure = { ename: 'EngineError', evalue, traceback: [`EngineError: ${evalue}`] };
    const method = header['msg_type'] === 'execute_request' ? 'execute' : 'apply';
    const metadata = replyMetadata(request, engine, now(), { status: 'error', ename: failure.ename });
    const content = this.#errorContent(failure, method);
    const message = session.rawMessage(`${method}_reply`, content, { parent: header, metadata });
    reply(session.encode(message, [client]));
    publisher.publishError(failure, header);
    publisher.publishStatus('idle', header);
  }

  /** Aborts the tasks with these ids, or all. Replies to queued tasks; aborts the signal of the running task. */
  abort(msgIds: readonly string[] | undefined): void {
    const running = this.#runningTask;
    if (running !== undefined && (msgIds === undefined || hasIdIn(running.task, new Set(msgIds)))) {
      this.#kernel?.abort(running.job);
    }
    const tasks = msgIds === undefined ? this.#queue.drain() : this.#queue.abort(msgIds);
    for (const task of tasks) this.#replyAborted(task);
  }

  /** Interrupts the running task. */
  interrupt(): void {
    this.#kernel?.interrupt();
  }

  /** Sends a signal to the kernel process. */
  signal(signal: number): void {
    this.#kernel?.kill(signal);
  }

  /** Kills the kernel. Call {@link stop} first, which replies to the running task. */
  async dispose(): Promise<void> {
    await this.#kernel?.dispose();
  }

  /** Replaces the context as soon as the running task is done. Resolves when the new context is ready. */
  clear(): Promise<void> {
    return new Promise((resolve) => {
      this.#clearResolvers.push(resolve);
      this.#startNext();
    });
  }

  /** Fails the running and all queued tasks with an EngineError and accepts no more tasks; idempotent. */
  stop(reason: string): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    const { engine } = this.#options;
    const running = this.#runningTask === undefined ? [] : [this.#runningTask.task];
    this.#runningTask = undefined;
    for (const task of [...running, ...this.#queue.drain()]) {
      const evalue = `engine ${engine.id} (${engine.uuid}) ${reason} before task ${task.request.msg_id} was done`;
      const failure = { ename: 'EngineError', evalue, traceback: [`EngineError: ${evalue}`] };
      const method = task.request.msg_type === 'execute_request' ? 'execute' : 'apply';
      this.#reply(task, this.#options.now(), this.#errorContent(failure, method), [], {
        status: 'error',
        ename: failure.ename,
      });
      if (running.includes(task)) this.#options.publisher.publishStatus('idle', task.request.header);
    }
    for (const resolve of this.#clearResolvers.splice(0)) resolve();
  }

  /** Starts a kernel and makes it the current one. Events of earlier kernels are ignored. */
  async #startKernel(): Promise<void> {
    const generation = ++this.#kernelCount;
    const runIfCurrent = (action: () => void): void => {
      if (generation === this.#generation) action();
    };
    this.#kernel = await this.#options.startKernel({
      onStream: (name, text) => runIfCurrent(() => this.#publishStream(name, text)),
      onResult: (job, text) => runIfCurrent(() => this.#publishResult(job, text)),
      onData: (job, content, buffers) => runIfCurrent(() => this.#publishData(job, content, buffers)),
      onDone: (job, outcome) => runIfCurrent(() => this.#finish(job, outcome)),
      onDeath: (how) =>
        runIfCurrent(() => {
          this.stop(`died (its kernel process ${how})`);
          this.#options.onKernelDeath(how);
        }),
    });
    this.#generation = generation;
  }

  #startNext(): void {
    if (this.#isStopped || this.#runningTask !== undefined || this.#isClearing) return;
    if (this.#clearResolvers.length > 0) {
      void this.#replaceKernel();
      return;
    }
    const task = this.#queue.shift();
    if (task !== undefined) this.#start(task);
  }

  #start(task: Task): void {
    const { request } = task;
    const { publisher, now } = this.#options;
    const started = now();
    this.#lastParent = request.header;
    publisher.publishStatus('busy', request.header);
    const job = ++this.#jobCount;
    if (request.msg_type === 'apply_request') {
      const name = getOwnString(request.content, 'name')?.replace(/[^\w$.]+/g, '') ?? '';
      this.#runningTask = { task, job, method: 'apply', silent: false, started };
      this.#kernel?.run({
        type: 'apply',
        job,
        msgId: request.msg_id,
        content: request.content,
        buffers: request.buffers,
        scriptName: `apply-${job}${name === '' ? '' : `-${name}`}.js`,
      });
      return;
    }
    const silent = getOwn(request.content, 'silent') === true;
    if (!silent) this.#executionCount++;
    this.#runningTask = { task, job, method: 'execute', silent, started };
    const execute = executeJob(request, job, silent, this.#executionCount);
    if (execute === undefined) {
      const evalue = 'the execute_request contains no code';
      this.#finish(job, { ok: false, failure: { ename: 'TypeError', evalue, traceback: [] } });
      return;
    }
    if (!silent) publisher.publishExecuteInput(execute.code, this.#executionCount, request.header);
    this.#kernel?.run(execute);
  }

  /** Output belongs to the running task, or to the last task that ran, as with Python's engines. */
  #publishStream(name: 'stdout' | 'stderr', text: string): void {
    const { publisher, log } = this.#options;
    if (this.#lastParent === undefined)
      log.info(`the kernel wrote to ${name} before the first task: ${text.trimEnd()}`);
    else publisher.publishStream(name, text, this.#lastParent);
  }

  #publishResult(job: number, text: string): void {
    if (this.#runningTask?.job !== job) return;
    this.#options.publisher.publishExecuteResult(
      text,
      this.#executionCount,
      this.#runningTask.task.request.header,
    );
  }

  #publishData(job: number, content: Dict, buffers: readonly Uint8Array[]): void {
    if (this.#runningTask?.job !== job) return;
    this.#options.publisher.publishData(content, buffers, this.#runningTask.task.request.header);
  }

  #finish(job: number, outcome: JobOutcome): void {
    const running = this.#runningTask;
    // An interrupt and a completion can cross; only the first one ends the job.
    if (running === undefined || running.job !== job) return;
    this.#runningTask = undefined;
    const { task, method, started } = running;
    const { publisher, log } = this.#options;
    const { header } = task.request;
    if (outcome.ok) {
      const content =
        method === 'execute'
          ? { status: 'ok', ...outcome.content, ...this.#executeFields(outcome.content) }
          : outcome.content;
      this.#reply(task, started, content, outcome.buffers, { status: 'ok' });
    } else if (outcome.aborted === true) {
      const { engine } = this.#options;
      this.#reply(task, started, { ...abortedContent(engine, method) }, [], { status: 'aborted' });
    } else {
      const failure = toWellFormedFailure(outcome.failure);
      const { ename, evalue } = failure;
      log.debug(`${task.request.msg_id} failed: ${ename}: ${evalue}`);
      publisher.publishError(failure, header);
      const content = this.#errorContent(failure, method);
      this.#reply(
        task,
        started,
        method === 'execute' ? { ...content, ...this.#executeFields({}) } : content,
        [],
        {
          status: 'error',
          ename,
        },
      );
    }
    publisher.publishStatus('idle', header);
    this.#startNext();
  }

  #executeFields(content: Dict): Dict {
    return {
      execution_count: this.#executionCount,
      user_expressions: getOwn(content, 'user_expressions') ?? {},
      payload: [],
    };
  }

  #errorContent(failure: FailureInfo, method: 'execute' | 'apply'): Dict {
    const { ename, evalue, traceback } = failure;
    const { engine } = this.#options;
    return { status: 'error', ename, evalue, traceback, engine_info: engineInfo(engine, method) };
  }

  #replyAborted(task: Task): void {
    this.#reply(task, this.#options.now(), { status: 'aborted' }, [], { status: 'aborted' });
  }

  #reply(
    { request, reply }: Task,
    started: Date,
    content: Dict,
    buffers: readonly Uint8Array[],
    outcome: TaskOutcome,
  ): void {
    const { session, engine } = this.#options;
    const msgType = request.msg_type.replace(/_request$/, '_reply');
    const metadata = replyMetadata(request, engine, started, outcome);
    const message = session.rawMessage(msgType, content, { parent: request.header, metadata, buffers });
    reply(session.encode(message, request.idents));
  }

  async #replaceKernel(): Promise<void> {
    const { log, onKernelDeath } = this.#options;
    this.#isClearing = true;
    const resolvers = this.#clearResolvers.splice(0);
    const previous = this.#kernel;
    try {
      // Declarations in JavaScript's global scope cannot be removed, so a clear context needs a new process.
      await this.#startKernel();
      await previous?.dispose();
      if (this.#isStopped) await this.dispose();
      for (const resolve of resolvers) resolve();
    } catch (error) {
      log.error(`cannot start a new kernel to clear the context: ${String(error)}`);
      this.stop('died (its kernel process could not be replaced)');
      for (const resolve of resolvers) resolve();
      onKernelDeath('could not be replaced');
    } finally {
      this.#isClearing = false;
      this.#startNext();
    }
  }
}

/** The reply content of a task that was aborted while it ran. */
function abortedContent(engine: EngineIdentity, method: 'execute' | 'apply'): Dict {
  const evalue = 'the task was aborted while it ran';
  const traceback = [`TaskAborted: ${evalue}`];
  return {
    status: 'aborted',
    ename: 'TaskAborted',
    evalue,
    traceback,
    engine_info: engineInfo(engine, method),
  };
}

function toWellFormedFailure({ ename, evalue, traceback }: FailureInfo): FailureInfo {
  return {
    ename: toWellFormedText(ename),
    evalue: toWellFormedText(evalue),
    traceback: traceback.map(toWellFormedText),
  };
}

function executeJob(
  { content, msg_id: msgId }: AnyMessage,
  job: number,
  silent: boolean,
  count: number,
): Extract<KernelJob, { type: 'execute' }> | undefined {
  const code = getOwnString(content, 'code');
  if (code === undefined) return undefined;
  const expressions = getOwn(content, 'user_expressions');
  const userExpressions = isDict(expressions)
    ? Object.fromEntries(
        Object.entries(expressions).filter(
          (entry): entry is [string, string] => typeof entry[1] === 'string',
        ),
      )
    : {};
  const scriptName = silent ? `execute-silent-${job}.js` : `execute-${count}.js`;
  return { type: 'execute', job, msgId, code, silent, userExpressions, scriptName };
}
