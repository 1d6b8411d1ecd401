import { AsyncResult } from '../async-result.js';
import type { EngineInfo } from '../engine-registry.js';
import type { ExecuteReply } from '../task-results.js';
import { executeWork, type Work, workOfCall } from '../work.js';
import type { SubmitOptions, Submitter } from './submitter.js';
import type { ExecuteOptions, Fn, ViewOptions } from './view-options.js';

/** The engines of a direct view: one id, several, or all that are registered at each call. */
export type Targets = number | readonly number[] | 'all';

/** One engine gives one result, several give a list. */
export type PerTarget<T extends Targets, R> = T extends number ? R : R[];

/** Runs work on engines that the caller picks. Mirrors ipyparallel `DirectView`. */
export class DirectView<T extends Targets = Targets> {
  readonly targets: T;
  readonly #submitter: Submitter;
  readonly #options: ViewOptions;

  /** @internal Made by `Client.directView`. */
  constructor(submitter: Submitter, targets: T, options: ViewOptions) {
    this.#submitter = submitter;
    this.targets = targets;
    this.#options = options;
  }

  /** Executes code on each engine: Python on Python engines, JavaScript on JavaScript engines. */
  execute(code: string, options: ExecuteOptions = {}): AsyncResult<PerTarget<T, ExecuteReply>> {
    return this.#submit(executeWork(code, options), options);
  }

  /**
   * Calls a JavaScript function on each engine. It travels as its source, without what it closes over; arguments
   * and results are anything that structured clone takes. @throws UsageError when they cannot be sent
   */
  apply<A extends unknown[], R>(fn: Fn<A, R>, ...args: A): AsyncResult<PerTarget<T, Awaited<R>>> {
    return this.#submit(workOfCall(fn, args), {});
  }

  #submit<R>(work: Work, options: SubmitOptions): AsyncResult<R> {
    const tasks = this.#submitter.toEngines(this.#engines(), work, { ...this.#options, ...options });
    return new AsyncResult<R>(tasks, { single: typeof this.targets === 'number' });
  }

  #engines(): EngineInfo[] {
    const targets: Targets = this.targets;
    if (targets === 'all') return this.#submitter.engines();
    return (typeof targets === 'number' ? [targets] : targets).map((id) => this.#submitter.engine(id));
  }
}
