import { inspect } from 'node:util';
import type { TaskContext } from '@ipyparallel-js/protocol';
import {
  decodeJsCall,
  encodeJsResult,
  isJsContent,
  NO_TASK,
  setCurrentTask,
} from '@ipyparallel-js/protocol/internal';
import { wireText } from '../common/well-formed-text.js';
import { CallBuilder } from './call-builder.js';
import type { Completion, Evaluator } from './evaluator.js';
import { describeFailure, hintAtCaptures, INTERRUPTED } from './failures.js';
import { callFunction } from './function-call.js';
import { isGenerator, runGenerator } from './generators.js';
import { rewriteDynamicImports } from './imports.js';
import type { ApplyJob, ExecuteJob, FailureInfo, JobOutcome, KernelJob, KernelMessage } from './messages.js';
import type { ModuleLoader } from './modules.js';
import { RunningTask } from './running-task.js';

/** What a {@link JobRunner} stands on. */
export interface JobRunnerOptions {
  readonly evaluator: Evaluator;
  readonly modules: ModuleLoader;
  readonly send: (message: KernelMessage) => void;
  /** Sends all output that still waits. */
  readonly flush: () => void;
  /** Whether the abort of a job has been asked for. */
  readonly abortAsked: (job: number) => boolean;
  readonly now: () => number;
  /** Calls back after so many milliseconds, and must not keep the process alive. */
  readonly later: (callback: () => void, ms: number) => void;
}

/** Runs one job at a time and reports its end once, whichever comes first: its completion or an interrupt. */
export class JobRunner {
  readonly #options: JobRunnerOptions;
  readonly #calls: CallBuilder;
  #current: number | undefined;
  #task: RunningTask | undefined;

  constructor(options: JobRunnerOptions) {
    this.#options = options;
    this.#calls = new CallBuilder(options.evaluator, options.modules);
  }

  /** The running task, as its code sees it. */
  get task(): TaskContext {
    return this.#task ?? NO_TASK;
  }

  run(job: KernelJob): void {
    this.#current = job.job;
    const task = this.#taskOf(job);
    this.#task = task;
    setCurrentTask(task);
    try {
      if (job.type === 'execute') this.#execute(job);
      else this.#apply(job, task);
    } catch (thrown) {
      this.#fail(job.job, describeFailure(thrown));
    }
  }

  #taskOf(job: KernelJob): RunningTask {
    const { send, abortAsked, now, later } = this.#options;
    return new RunningTask({
      msgId: job.msgId,
      abortAsked: () => abortAsked(job.job),
      send: ({ content, buffers }) => send({ type: 'data', job: job.job, content, buffers }),
      now,
      later,
    });
  }

  /** Aborts the running job's signal if that was asked for. What the job makes of it is its affair. */
  checkAbort(): void {
    this.#task?.checkAbort();
  }

  /**
   * Ends the running job as interrupted. What it still awaits goes on unobserved, unless it heeds its signal, which what
   * is given here aborts: that runs the code's listeners, so it comes last.
   */
  interrupt(): () => void {
    const task = this.#task;
    if (this.#current !== undefined) this.#fail(this.#current, INTERRUPTED, task?.aborted);
    return () => task?.interrupt();
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
      const next = (): void => {
        const entry = expressions.shift();
        if (entry === undefined) {
          this.#finish(job.job, { ok: true, content: { user_expressions: results }, buffers: [] });
          return;
        }
        const [name, expression] = entry;
        evaluator.evaluate(rewriteDynamicImports(expression), `${name}.js`, (completion) => {
          this.#guarded(job, () => {
            Object.defineProperty(results, name, {
              value: expressionResult(completion),
              enumerable: true,
            });
            next();
          });
        });
      };
      next();
    });
  }

  #apply(job: ApplyJob, task: RunningTask): void {
    if (!isJsContent(job.content)) {
      this.#fail(job.job, {
        ename: 'LanguageMismatchError',
        evalue:
          'this engine runs JavaScript and was sent a Python call; send it to a Python engine, or send JavaScript code to execute',
        traceback: [],
      });
      return;
    }
    const { evaluator } = this.#options;
    const decoded = decodeJsCall(job.content, job.buffers);
    const then = (value: unknown): void => {
      const { content, buffers } = encodeJsResult(value);
      this.#finish(job.job, { ok: true, content, buffers });
    };
    const call = (make: () => (...args: unknown[]) => unknown): void =>
      evaluator.call(
        () => callFunction(make(), decoded, task),
        this.#continued(job, (value) => {
          if (!isGenerator(value)) then(value);
          else evaluator.call(() => runGenerator(value, task), this.#continued(job, then));
        }),
      );
    this.#calls.build(
      decoded,
      job.scriptName,
      task,
      // In a microtask: what is terminated right inside of a callback of Node's leaves its async stack unclear.
      (make) => void Promise.resolve().then(() => call(make)),
      this.#continued(job, () => undefined),
    );
  }

  #evaluate(job: KernelJob, code: string, scriptName: string, then: (value: unknown) => void): void {
    this.#options.evaluator.evaluate(code, scriptName, this.#continued(job, then));
  }

  /** What follows a completion: the continuation with its value, or the job's failure. */
  #continued(job: KernelJob, then: (value: unknown) => void): (completion: Completion) => void {
    return (completion) =>
      this.#guarded(job, () => {
        if (completion.kind === 'value') then(completion.value);
        else {
          const aborted = completion.kind === 'thrown' && this.#task?.endedBy(completion.thrown);
          const failure = failureOf(completion);
          const told = job.type === 'apply' ? hintAtCaptures(failure, `apply-${job.job}`) : failure;
          this.#fail(job.job, told, aborted === true);
        }
      });
  }

  /** Runs a continuation of a job unless the job has ended; what it throws fails the job. */
  #guarded(job: KernelJob, continuation: () => void): void {
    if (this.#current !== job.job) return;
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
    if (this.#current !== job) return;
    const { evaluator, send, flush } = this.#options;
    flush();
    const failure = this.#task?.end();
    const failed = failure !== undefined && outcome.ok;
    send({
      type: 'done',
      job,
      outcome: failed ? { ok: false, failure: describeFailure(failure.thrown) } : outcome,
    });
    this.#current = undefined;
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
      return INTERRUPTED;
    case 'refused':
      return { ename: 'Error', evalue: completion.reason, traceback: [`Error: ${completion.reason}`] };
  }
}

function expressionResult(completion: Completion): unknown {
  if (completion.kind !== 'value') return { status: 'error', ...failureOf(completion) };
  return { status: 'ok', data: { 'text/plain': wireText(inspect(completion.value)) }, metadata: {} };
}
