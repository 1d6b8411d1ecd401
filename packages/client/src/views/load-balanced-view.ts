import { AsyncResult } from '../async-result.js';
import type { ExecuteReply } from '../task-results.js';
import { executeWork, type Work, workOfCall } from '../work.js';
import type { SubmitOptions, Submitter } from './submitter.js';
import type { ExecuteOptions, Fn, ViewOptions } from './view-options.js';

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

  /** Calls a JavaScript function on one JavaScript engine; see `DirectView.apply`. */
  apply<A extends unknown[], R>(fn: Fn<A, R>, ...args: A): AsyncResult<Awaited<R>> {
    return this.#submit(workOfCall(fn, args), {});
  }

  #submit<R>(work: Work, options: SubmitOptions): AsyncResult<R> {
    return new AsyncResult<R>([this.#submitter.toScheduler(work, { ...this.#options, ...options })], {
      single: true,
    });
  }
}
