import type { PyCallable, PyReference } from '@ipyparallel-js/protocol';
import { checkOptions } from '@ipyparallel-js/protocol/internal';
import { WAIT_OPTIONS, type WaitOptions } from '@ipyparallel-js/wire';
import type { Targets } from '../engines/targets.js';
import type { OneResult } from './map-arguments.js';
import type { View } from './view.js';
import type { ViewFlags } from './view-flags.js';
import type { ViewResult } from './view-result.js';

/** A view in the words of Python's `concurrent.futures`. Mirrors ipyparallel `ViewExecutor`. */
export class ViewExecutor<T extends Targets, F extends ViewFlags> {
  /** The view that does the work. */
  readonly view: View<T, F>;
  /** `imap`: results in order, inputs read as results are taken. */
  readonly map: View<T, F>['imap'];

  constructor(view: View<T, F>) {
    this.view = view;
    this.map = view.imap.bind(view);
  }

  /** The same as `apply`. */
  submit<A extends unknown[], R>(fn: (...args: A) => R, ...args: A): ViewResult<T, OneResult<R>>;
  submit<R>(fn: PyCallable<R>, ...args: readonly unknown[]): ViewResult<T, R>;
  submit(fn: PyReference, ...args: readonly unknown[]): ViewResult<T, unknown>;
  submit(fn: never, ...args: never): ViewResult<T, never> {
    return this.view.apply(fn, ...(args as [])) as ViewResult<T, never>;
  }

  /** Waits until all outstanding tasks of the view have ended; ends no engine. With `wait: false` it does nothing. */
  async shutdown(command: WaitOptions & { readonly wait?: boolean } = {}): Promise<void> {
    checkOptions(command, { wait: true, ...WAIT_OPTIONS }, 'shutdown');
    const { wait = true, ...options } = command;
    if (wait) await this.view.wait(undefined, options);
  }
}
