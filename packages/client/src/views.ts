import { AsyncResult } from './async-result.js';
import type { EngineInfo } from './engine-registry.js';
import { applyWork, executeWork, type SubmitOptions, type Submitter, type Work } from './submitter.js';
import type { ExecuteReply } from './task-results.js';

/** The engines of a direct view: one id, several, or all that are registered at each call. */
export type Targets = number | readonly number[] | 'all';

/** One engine gives one result, several give a list. */
export type PerTarget<T extends Targets, R> = T extends number ? R : R[];

/** Options of `execute`. */
export interface ExecuteOptions extends SubmitOptions {
  /** Publishes neither output nor result; false by default. */
  readonly silent?: boolean;
}

/** Options of a view, for all its calls. */
export type ViewOptions = SubmitOptions;

type Fn<A extends unknown[], R> = (...args: A) => R;

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
    return this.#submit(applyWork(fn, args), {});
  }

  #submit<R>(work: Work, options: SubmitOptions): AsyncResult<R> {
    const tasks = this.#submitter.toEngines(this.#engines(), work, { ...this.#options, ...options });
    return new AsyncResult<R>(tasks, typeof this.targets === 'number');
  }

  #engines(): EngineInfo[] {
    const targets: Targets = this.targets;
    if (targets === 'all') return this.#submitter.engines();
    return (typeof targets === 'number' ? [targets] : targets).map((id) => this.#submitter.engine(id));
  }
}

/** Runs work on whichever engine the task scheduler picks. Mirrors ipyparallel `LoadBalancedView`. */
export class LoadBalancedView {
  readonly #submitter: Submitter;
  readonly #options: ViewOptions;

  /** @internal Made by `Client.loadBalancedView`. */
  constructor(submitter: Submitter, options: ViewOptions) {
    this.#submitter = submitter;
    this.#options = options;
  }

  /** Executes code on one engine. */
  execute(code: string, options: ExecuteOptions = {}): AsyncResult<ExecuteReply> {
    return this.#submit(executeWork(code, options), options);
  }

  /** Calls a JavaScript function on one JavaScript engine; see {@link DirectView.apply}. */
  apply<A extends unknown[], R>(fn: Fn<A, R>, ...args: A): AsyncResult<Awaited<R>> {
    return this.#submit(applyWork(fn, args), {});
  }

  #submit<R>(work: Work, options: SubmitOptions): AsyncResult<R> {
    return new AsyncResult<R>([this.#submitter.toScheduler(work, { ...this.#options, ...options })], true);
  }
}
