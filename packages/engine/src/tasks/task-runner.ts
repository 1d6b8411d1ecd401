import type { AnyMessage, Dict, Header, Session } from '@ipyparallel-js/protocol';
import { getOwn, getOwnString, isDict } from '@ipyparallel-js/protocol/internal';
import type { Logger } from '@ipyparallel-js/wire';
import { wireText } from '../common/well-formed-text.js';
import type { FailureInfo, JobOutcome, KernelJob } from '../kernel/messages.js';
import type { KernelEvents, KernelProcess } from './kernel-process.js';
import type { LostRequest } from './lost-work.js';
import type { Publisher } from './publisher.js';
import { type Ending, type EngineIdentity, errorPlace, replyMetadata } from './reply-metadata.js';
import { isOneOf, type Task, TaskQueue } from './task-queue.js';

/** What a {@link TaskRunner} stands on. */
export interface TaskRunnerOptions {
  readonly session: Session;
  readonly publisher: Publisher;
  readonly engine: EngineIdentity;
  readonly log: Logger;
  readonly now: () => Date;
  /** Forks a kernel that reports to these events. */
  readonly startKernel: (events: KernelEvents) => Promise<KernelProcess>;
  /** The kernel has died by itself. All tasks have been answered by then. */
  readonly onKernelDeath: (how: string) => void;
}

interface RunningTask {
  readonly task: Task;
  readonly job: number;
  readonly method: 'execute' | 'apply';
  readonly silent: boolean;
  readonly started: Date;
}

/** Runs tasks in the kernel, one at a time in the order of their arrival, and answers them. */
export class TaskRunner {
  readonly #options: TaskRunnerOptions;
  readonly #queue = new TaskQueue();
  #kernel: KernelProcess | undefined;
  #generation = 0;
  #kernels = 0;
  #running: RunningTask | undefined;
  #clears: (() => void)[] = [];
  #clearing = false;
  #stopped = false;
  #jobs = 0;
  #executions = 0;
  #lastParent: Header | undefined;

  private constructor(options: TaskRunnerOptions) {
    this.#options = options;
  }

  /** Starts the first kernel. @throws EngineError when it dies before it is ready */
  static async start(options: TaskRunnerOptions): Promise<TaskRunner> {
    const runner = new TaskRunner(options);
    await runner.#adoptKernel();
    return runner;
  }

  /** Process id of the kernel. */
  get kernelPid(): number {
    return this.#kernel?.pid ?? 0;
  }

  push(task: Task): void {
    if (this.#stopped) return;
    const taken = this.#queue.push(task);
    if (taken === 'queued') this.#next();
    else if (taken === 'aborted') this.#answerAborted(task);
  }

  /** Those of these ids that have not come, as far as the last ten thousand of them are remembered. */
  missing(msgIds: readonly string[]): string[] {
    const running = this.#running?.task.request.msg_id;
    return this.#queue.missing(msgIds).filter((id) => id !== running);
  }

  /** Answers a task that never came with an EngineError; it is not run if it comes after all. */
  giveUp(request: LostRequest, reply: Task['reply']): void {
    const { session, engine, now, publisher } = this.#options;
    const { header, client } = request;
    const msgId = String(header['msg_id']);
    this.#queue.lose(msgId);
    const evalue = `task ${msgId} was sent to engine ${engine.id} (${engine.uuid}) while that was not connected to its controller; it was lost on the way and did not run`;
    const failure = { ename: 'EngineError', evalue, traceback: [`EngineError: ${evalue}`] };
    const method = header['msg_type'] === 'execute_request' ? 'execute' : 'apply';
    const metadata = replyMetadata(request, engine, now(), { status: 'error', ename: failure.ename });
    const content = this.#errorContent(failure, method);
    const message = session.rawMessage(`${method}_reply`, content, { parent: header, metadata });
    reply(session.encode(message, [client]));
    publisher.error(failure, header);
    publisher.status('idle', header);
  }

  /** Aborts tasks: those with these ids, or all. Waiting ones are answered; the running one's signal is aborted. */
  abort(msgIds: readonly string[] | undefined): void {
    const running = this.#running;
    if (running !== undefined && (msgIds === undefined || isOneOf(running.task, new Set(msgIds)))) {
      this.#kernel?.abort(running.job);
    }
    const tasks = msgIds === undefined ? this.#queue.drain() : this.#queue.abort(msgIds);
    for (const task of tasks) this.#answerAborted(task);
  }

  /** Interrupts the running task. */
  interrupt(): void {
    this.#kernel?.interrupt();
  }

  /** Sends a signal to the kernel process. */
  signal(signal: number): void {
    this.#kernel?.kill(signal);
  }

  /** Kills the kernel; what it ran should have been answered by {@link stop}. */
  async dispose(): Promise<void> {
    await this.#kernel?.dispose();
  }

  /** Gives the tasks that wait a fresh context, as soon as the running one is done. Resolves when it is there. */
  clear(): Promise<void> {
    return new Promise((resolve) => {
      this.#clears.push(resolve);
      this.#next();
    });
  }

  /** Answers the running and all waiting tasks with an EngineError and takes no more; idempotent. */
  stop(why: string): void {
    if (this.#stopped) return;
    this.#stopped = true;
    const { engine } = this.#options;
    const running = this.#running === undefined ? [] : [this.#running.task];
    this.#running = undefined;
    for (const task of [...running, ...this.#queue.drain()]) {
      const evalue = `engine ${engine.id} (${engine.uuid}) ${why} before task ${task.request.msg_id} was done`;
      const failure = { ename: 'EngineError', evalue, traceback: [`EngineError: ${evalue}`] };
      const method = task.request.msg_type === 'execute_request' ? 'execute' : 'apply';
      this.#reply(task, this.#options.now(), this.#errorContent(failure, method), [], {
        status: 'error',
        ename: failure.ename,
      });
      if (running.includes(task)) this.#options.publisher.status('idle', task.request.header);
    }
    for (const resolve of this.#clears.splice(0)) resolve();
  }

  /** Starts a kernel and lets it be the one whose events count. */
  async #adoptKernel(): Promise<void> {
    const generation = ++this.#kernels;
    const ifCurrent = (act: () => void): void => {
      if (generation === this.#generation) act();
    };
    this.#kernel = await this.#options.startKernel({
      onStream: (name, text) => ifCurrent(() => this.#publishStream(name, text)),
      onResult: (job, text) => ifCurrent(() => this.#publishResult(job, text)),
      onData: (job, content, buffers) => ifCurrent(() => this.#publishData(job, content, buffers)),
      onDone: (job, outcome) => ifCurrent(() => this.#done(job, outcome)),
      onDeath: (how) =>
        ifCurrent(() => {
          this.stop(`died (its kernel process ${how})`);
          this.#options.onKernelDeath(how);
        }),
    });
    this.#generation = generation;
  }

  #next(): void {
    if (this.#stopped || this.#running !== undefined || this.#clearing) return;
    if (this.#clears.length > 0) {
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
    publisher.status('busy', request.header);
    const job = ++this.#jobs;
    if (request.msg_type === 'apply_request') {
      const name = getOwnString(request.content, 'name')?.replace(/[^\w$.]+/g, '') ?? '';
      this.#running = { task, job, method: 'apply', silent: false, started };
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
    if (!silent) this.#executions++;
    this.#running = { task, job, method: 'execute', silent, started };
    const execute = executeJob(request, job, silent, this.#executions);
    if (execute === undefined) {
      const evalue = 'the execute_request carries no code';
      this.#done(job, { ok: false, failure: { ename: 'TypeError', evalue, traceback: [] } });
      return;
    }
    if (!silent) publisher.executeInput(execute.code, this.#executions, request.header);
    this.#kernel?.run(execute);
  }

  /** Output belongs to the task that runs, or to the last one that ran, as with Python's engines. */
  #publishStream(name: 'stdout' | 'stderr', text: string): void {
    const { publisher, log } = this.#options;
    if (this.#lastParent === undefined) log.info(`kernel ${name} before the first task: ${text.trimEnd()}`);
    else publisher.stream(name, text, this.#lastParent);
  }

  #publishResult(job: number, text: string): void {
    if (this.#running?.job !== job) return;
    this.#options.publisher.executeResult(text, this.#executions, this.#running.task.request.header);
  }

  #publishData(job: number, content: Dict, buffers: readonly Uint8Array[]): void {
    if (this.#running?.job !== job) return;
    this.#options.publisher.data(content, buffers, this.#running.task.request.header);
  }

  #done(job: number, outcome: JobOutcome): void {
    const running = this.#running;
    // An interrupt and a completion can cross: the first of them was the answer.
    if (running === undefined || running.job !== job) return;
    this.#running = undefined;
    const { task, method, started } = running;
    const { publisher, log } = this.#options;
    const { header } = task.request;
    if (outcome.ok) {
      const content =
        method === 'execute'
          ? { status: 'ok', ...outcome.content, ...this.#executeParts(outcome.content) }
          : outcome.content;
      this.#reply(task, started, content, outcome.buffers, { status: 'ok' });
    } else if (outcome.aborted === true) {
      const { engine } = this.#options;
      this.#reply(task, started, { ...abortedContent(engine, method) }, [], { status: 'aborted' });
    } else {
      const failure = wireFailure(outcome.failure);
      const { ename, evalue } = failure;
      log.debug(`${task.request.msg_id} failed: ${ename}: ${evalue}`);
      publisher.error(failure, header);
      const content = this.#errorContent(failure, method);
      this.#reply(
        task,
        started,
        method === 'execute' ? { ...content, ...this.#executeParts({}) } : content,
        [],
        {
          status: 'error',
          ename,
        },
      );
    }
    publisher.status('idle', header);
    this.#next();
  }

  #executeParts(content: Dict): Dict {
    return {
      execution_count: this.#executions,
      user_expressions: getOwn(content, 'user_expressions') ?? {},
      payload: [],
    };
  }

  #errorContent(failure: FailureInfo, method: 'execute' | 'apply'): Dict {
    const { ename, evalue, traceback } = failure;
    const { engine } = this.#options;
    return { status: 'error', ename, evalue, traceback, engine_info: errorPlace(engine, method) };
  }

  #answerAborted(task: Task): void {
    this.#reply(task, this.#options.now(), { status: 'aborted' }, [], { status: 'aborted' });
  }

  #reply(
    { request, reply }: Task,
    started: Date,
    content: Dict,
    buffers: readonly Uint8Array[],
    ending: Ending,
  ): void {
    const { session, engine } = this.#options;
    const msgType = request.msg_type.replace(/_request$/, '_reply');
    const metadata = replyMetadata(request, engine, started, ending);
    const message = session.rawMessage(msgType, content, { parent: request.header, metadata, buffers });
    reply(session.encode(message, request.idents));
  }

  async #replaceKernel(): Promise<void> {
    const { log, onKernelDeath } = this.#options;
    this.#clearing = true;
    const served = this.#clears.splice(0);
    const old = this.#kernel;
    try {
      // Nothing of JavaScript's global scope can be taken back one by one: a clear context is a new process.
      await this.#adoptKernel();
      await old?.dispose();
      if (this.#stopped) await this.dispose();
      for (const resolve of served) resolve();
    } catch (error) {
      log.error(`no new kernel for a clear context: ${String(error)}`);
      this.stop('died (its kernel process could not be replaced)');
      for (const resolve of served) resolve();
      onKernelDeath('could not be replaced');
    } finally {
      this.#clearing = false;
      this.#next();
    }
  }
}

/** The content of the reply of a task that ended because it was aborted while it ran. */
function abortedContent(engine: EngineIdentity, method: 'execute' | 'apply'): Dict {
  const evalue = 'the task was aborted while it ran';
  const traceback = [`TaskAborted: ${evalue}`];
  return {
    status: 'aborted',
    ename: 'TaskAborted',
    evalue,
    traceback,
    engine_info: errorPlace(engine, method),
  };
}

function wireFailure({ ename, evalue, traceback }: FailureInfo): FailureInfo {
  return { ename: wireText(ename), evalue: wireText(evalue), traceback: traceback.map(wireText) };
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
