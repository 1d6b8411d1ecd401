import { inspect } from 'node:util';
import type { TaskContext } from '@ipyparallel-js/protocol';
import {
  decodeJsCall,
  encodeJsResult,
  isJsContent,
  NO_TASK,
  setCurrentTask,
} from '@ipyparallel-js/protocol/internal';
import { toWellFormedText } from '../common/well-formed-text.js';
import type {
  ApplyJob,
  ExecuteJob,
  FailureInfo,
  JobOutcome,
  KernelJob,
  KernelMessage,
} from '../kernel-channel/messages.js';
import { CallBuilder } from './call-builder.js';
import { rewriteDynamicImports } from './dynamic-imports.js';
import type { Completion, Evaluator } from './evaluator.js';
import { addCaptureHint, describeFailure, INTERRUPT_FAILURE } from './failures.js';
import { callFunction } from './function-call.js';
import { isGenerator, runGenerator } from './generators.js';
import type { ModuleLoader } from './module-loader.js';
import { RunningTask } from './running-task.js';

export interface JobRunnerOptions {
  readonly evaluator: Evaluator;
  readonly modules: ModuleLoader;
  readonly send: (message: KernelMessage) => void;
  /** Sends all buffered output. */
  readonly flush: () => void;
  /** Whether the engine has aborted a job. */
  readonly abortRequested: (job: number) => boolean;
  readonly now: () => number;
  /** Calls `callback` after `ms` milliseconds; must not keep the process alive. */
  readonly schedule: (callback: () => void, ms: number) => void;
}

/** Runs one job at a time and reports its end once: at its completion or at an interrupt, whichever comes first. */
export class JobRunner {
  readonly #options: JobRunnerOptions;
  readonly #calls: CallBuilder;
  #currentJob: number | undefined;
  /** The highest number of a job that was begun, or interrupted before it arrived. */
  #latestJob = 0;
  #task: RunningTask | undefined;
  /** The task that was interrupted last, until its signal is aborted. */
  #interruptedTask: RunningTask | undefined;

  constructor(options: JobRunnerOptions) {
    this.#options = options;
    this.#calls = new CallBuilder(options.evaluator, options.modules);
  }

  /** The running task, as its code sees it. */
  get task(): TaskContext {
    return this.#task ?? NO_TASK;
  }

  run(job: KernelJob): void {
    // The engine sends interrupts on another channel: one of them may arrive before its job, which has then ended.
    if (job.job <= this.#latestJob) return;
    this.#currentJob = job.job;
    this.#latestJob = job.job;
    const task = this.#createTask(job);
    this.#task = task;
    setCurrentTask(task);
    try {
      if (job.type === 'execute') this.#execute(job);
      else this.#apply(job, task);
    } catch (thrown) {
      this.#fail(job.job, describeFailure(thrown));
    }
  }

  #createTask(job: KernelJob): RunningTask {
    const { send, abortRequested, now, schedule } = this.#options;
    return new RunningTask({
      msgId: job.msgId,
      abortRequested: () => abortRequested(job.job),
      send: ({ content, buffers }) => send({ type: 'data', job: job.job, content, buffers }),
      now,
      schedule,
    });
  }

  /** Aborts the running job's signal if the engine has aborted the job. The job may ignore its signal. */
  checkAbort(): void {
    this.#task?.checkAbort();
  }

  /**
   * Ends a job as interrupted if it runs or has not arrived yet; by default the running job. Work that the job still awaits
   * continues unobserved unless it observes the job's signal, which {@link abortInterrupted} aborts.
   */
  interrupt(job: number | undefined = this.#currentJob): void {
    if (job === undefined) return;
    if (job > this.#latestJob) {
      this.#latestJob = job;
      this.#currentJob = job;
    } else if (this.#currentJob === job) this.#interruptedTask = this.#task;
    this.#fail(job, INTERRUPT_FAILURE, this.#options.abortRequested(job));
  }

  /** Aborts the signal of the interrupted task. Must be called last, because it runs listeners of the code. */
  abortInterrupted(): void {
    const task = this.#interruptedTask;
    this.#interruptedTask = undefined;
    task?.interrupt();
  }

  #execute(job: ExecuteJob): void {
    const { evaluator, send, flush } = this.#options;
    this.#evaluate(job, rewriteDynamicImports(job.code), job.scriptName, (value) => {
      if (value !== undefined && !job.silent) {
        const text = inspect(value);
        flush();
        send({ type: 'execute_result', job: job.job, text });
      }
      const results: Record<string, unknown> = {};
      const expressions = Object.entries(job.userExpressions);
      const evaluateNext = (): void => {
        const entry = expressions.shift();
        if (entry === undefined) {
          this.#finish(job.job, { ok: true, content: { user_expressions: results }, buffers: [] });
          return;
        }
        const [name, expression] = entry;
        evaluator.evaluate(rewriteDynamicImports(expression), `${name}.js`, (completion) => {
          this.#runContinuation(job, () => {
            Object.defineProperty(results, name, {
              value: expressionResult(completion),
              enumerable: true,
            });
            evaluateNext();
          });
        });
      };
      evaluateNext();
    });
  }

  #apply(job: ApplyJob, task: RunningTask): void {
    if (!isJsContent(job.content)) {
      this.#fail(job.job, {
        ename: 'LanguageMismatchError',
        evalue:
          'this engine runs JavaScript and received a Python call; send it to a Python engine, or send JavaScript code to execute',
        traceback: [],
      });
      return;
    }
    const { evaluator } = this.#options;
    const decoded = decodeJsCall(job.content, job.buffers);
    const finish = (value: unknown): void => {
      const { content, buffers } = encodeJsResult(value);
      this.#finish(job.job, { ok: true, content, buffers });
    };
    const call = (make: () => (...args: unknown[]) => unknown): void =>
      evaluator.call(
        () => callFunction(make(), decoded, task),
        this.#continuation(job, (value) => {
          if (!isGenerator(value)) finish(value);
          else evaluator.call(() => runGenerator(value, task), this.#continuation(job, finish));
        }),
      );
    this.#calls.build(
      decoded,
      job.scriptName,
      task,
      // In a microtask: code terminated directly inside a callback of Node would corrupt Node's async stack.
      (make) => void Promise.resolve().then(() => call(make)),
      this.#continuation(job, () => undefined),
    );
  }

  #evaluate(job: KernelJob, code: string, scriptName: string, then: (value: unknown) => void): void {
    this.#options.evaluator.evaluate(code, scriptName, this.#continuation(job, then));
  }

  /** Returns the callback of an evaluation: calls `then` with the value, or fails the job. */
  #continuation(job: KernelJob, then: (value: unknown) => void): (completion: Completion) => void {
    return (completion) =>
      this.#runContinuation(job, () => {
        if (completion.kind === 'value') then(completion.value);
        else {
          const aborted = completion.kind === 'thrown' && this.#task?.wasAbortedBy(completion.thrown);
          const failure = failureOf(completion);
          const reported = job.type === 'apply' ? addCaptureHint(failure, `apply-${job.job}`) : failure;
          this.#fail(job.job, reported, aborted === true);
        }
      });
  }

  /** Runs a continuation unless its job has ended; an error that it throws fails the job. */
  #runContinuation(job: KernelJob, continuation: () => void): void {
    if (this.#currentJob !== job.job) return;
    try {
      continuation();
    } catch (thrown) {
      this.#fail(job.job, describeFailure(thrown));
    }
  }

  #fail(job: number, failure: FailureInfo, aborted = false): void {
    this.#finish(job, { ok: false, failure, aborted });
  }

  #finish(job: number, outcome: JobOutcome): void {
    if (this.#currentJob !== job) return;
    const { evaluator, send, flush } = this.#options;
    flush();
    const failure = this.#task?.end();
    const failed = failure !== undefined && outcome.ok;
    send({
      type: 'done',
      job,
      outcome: failed ? { ok: false, failure: describeFailure(failure.thrown) } : outcome,
    });
    this.#currentJob = undefined;
    this.#task = undefined;
    setCurrentTask(NO_TASK);
    evaluator.release();
  }
}

function failureOf(completion: Exclude<Completion, { kind: 'value' }>): FailureInfo {
  switch (completion.kind) {
    case 'thrown':
      return describeFailure(completion.thrown, completion.location);
    case 'terminated':
      return INTERRUPT_FAILURE;
    case 'refused':
      return { ename: 'Error', evalue: completion.reason, traceback: [`Error: ${completion.reason}`] };
  }
}

function expressionResult(completion: Completion): unknown {
  if (completion.kind !== 'value') return { status: 'error', ...failureOf(completion) };
  return { status: 'ok', data: { 'text/plain': toWellFormedText(inspect(completion.value)) }, metadata: {} };
}
