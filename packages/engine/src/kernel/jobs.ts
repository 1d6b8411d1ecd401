import { inspect } from 'node:util';
import { decodeJsCall, encodeJsResult, isJsContent } from '@ipyparallel-js/protocol/internal';
import { wireText } from '../wire-text.js';
import type { Completion, Evaluator } from './evaluator.js';
import { describeFailure, INTERRUPTED } from './failures.js';
import { rewriteDynamicImports } from './imports.js';
import type { ApplyJob, ExecuteJob, FailureInfo, JobOutcome, KernelJob, KernelMessage } from './messages.js';

/** What a {@link JobRunner} stands on. */
export interface JobRunnerOptions {
  readonly evaluator: Evaluator;
  readonly send: (message: KernelMessage) => void;
  /** Sends all output that still waits. */
  readonly flush: () => void;
}

/** Runs one job at a time and reports its end once, whichever comes first: its completion or an interrupt. */
export class JobRunner {
  readonly #options: JobRunnerOptions;
  #current: number | undefined;

  constructor(options: JobRunnerOptions) {
    this.#options = options;
  }

  run(job: KernelJob): void {
    this.#current = job.job;
    try {
      if (job.type === 'execute') this.#execute(job);
      else this.#apply(job);
    } catch (thrown) {
      this.#fail(job.job, describeFailure(thrown));
    }
  }

  /** Ends the running job as interrupted. What it still awaits goes on unobserved. */
  interrupt(): void {
    if (this.#current !== undefined) this.#fail(this.#current, INTERRUPTED);
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

  #apply(job: ApplyJob): void {
    if (!isJsContent(job.content)) {
      this.#fail(job.job, {
        ename: 'LanguageMismatchError',
        evalue:
          'this engine runs JavaScript and was sent a Python call; send it to a Python engine, or send JavaScript code to execute',
        traceback: [],
      });
      return;
    }
    const { source, args, each } = decodeJsCall(job.content, job.buffers);
    const code = `(${rewriteDynamicImports(source)}\n)`;
    this.#evaluate(job, code, job.scriptName, (fn) => {
      if (typeof fn !== 'function') throw new TypeError('the call does not carry a function');
      this.#options.evaluator.call(
        () => (each ? callForEach(fn as AnyFunction, args) : fn(...args)),
        (completion) => {
          this.#guarded(job, () => {
            if (completion.kind !== 'value') {
              this.#fail(job.job, failureOf(completion));
              return;
            }
            const { content, buffers } = encodeJsResult(completion.value);
            this.#finish(job.job, { ok: true, content, buffers });
          });
        },
      );
    });
  }

  #evaluate(job: KernelJob, code: string, scriptName: string, then: (value: unknown) => void): void {
    this.#options.evaluator.evaluate(code, scriptName, (completion) => {
      this.#guarded(job, () => {
        if (completion.kind === 'value') then(completion.value);
        else this.#fail(job.job, failureOf(completion));
      });
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

  #fail(job: number, failure: FailureInfo): void {
    this.#finish(job, { ok: false, failure });
  }

  #finish(job: number, outcome: JobOutcome): void {
    if (this.#current !== job) return;
    const { evaluator, send, flush } = this.#options;
    flush();
    send({ type: 'done', job, outcome });
    this.#current = undefined;
    evaluator.release();
  }
}

type AnyFunction = (...args: unknown[]) => unknown;

/** Calls a function for each place of some lists, one after the other, up to the end of the shortest. */
async function callForEach(fn: AnyFunction, lists: readonly unknown[]): Promise<unknown[]> {
  const iterators = lists.map((list) => (list as Iterable<unknown>)[Symbol.iterator]());
  const results: unknown[] = [];
  for (;;) {
    const places = iterators.map((iterator) => iterator.next());
    if (places.length === 0 || places.some(({ done }) => done === true)) return results;
    const result = fn(...places.map(({ value }) => value));
    results.push(isThenable(result) ? await result : result);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
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
