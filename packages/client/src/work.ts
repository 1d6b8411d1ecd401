import { type Dict, UsageError } from '@ipyparallel-js/protocol';
import { encodeJsCall } from '@ipyparallel-js/protocol/internal';
import type { EngineLanguage } from './views/engine-languages.js';

/** A piece of work, ready to be sent: any number of times. */
export interface Work {
  readonly msgType: 'execute_request' | 'apply_request';
  readonly content: Dict;
  /** What its form adds to the metadata; the submission adds labels, dependencies and targets. */
  readonly metadata?: Dict;
  readonly buffers: readonly Uint8Array[];
  /** The language it needs, when its form tells. */
  readonly language: EngineLanguage | undefined;
}

/** A JavaScript function whose source travels. */
export type JsFunction = (...args: never[]) => unknown;

/** What `apply` and `map` call on an engine. */
export type Callable = JsFunction;

/** Code to execute. `silent` publishes no output and no result. */
export function executeWork(code: string, options: { readonly silent?: boolean }): Work {
  if (typeof code !== 'string') throw new UsageError(`code is a text, not ${typeof code}`);
  return {
    msgType: 'execute_request',
    // A Python engine would else abort whatever it has queued, whoever submitted it, when this fails.
    content: { code, silent: options.silent === true, user_expressions: {}, stop_on_error: false },
    buffers: [],
    language: undefined,
  };
}

/**
 * A call of a function on an engine. `kwargs` are Python's keyword arguments.
 * @throws UsageError when the function or an argument cannot be sent
 */
export function workOfCall(
  fn: Callable,
  args: readonly unknown[],
  kwargs?: Readonly<Record<string, unknown>>,
): Work {
  if (typeof fn !== 'function') throw new UsageError(`a function is called, not ${typeof fn}`);
  if (kwargs !== undefined) throw new UsageError('a JavaScript function takes no keyword arguments');
  const { content, buffers } = encodeJsCall(fn, args);
  return { msgType: 'apply_request', content, buffers, language: 'javascript' };
}
