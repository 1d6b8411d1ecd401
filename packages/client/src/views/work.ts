import { type Dict, PyCallable, PyReference, packApplyMessage, UsageError } from '@ipyparallel-js/protocol';
import { encodeJsCall } from '@ipyparallel-js/protocol/internal';
import type { EngineLanguage } from '../engines/engine-languages.js';

/** The encoded content of a task, which can be sent any number of times. */
export interface Work {
  readonly msgType: 'execute_request' | 'apply_request';
  readonly content: Dict;
  /** Metadata that belongs to the encoding; the submission adds labels, dependencies and targets. */
  readonly metadata?: Dict;
  readonly buffers: readonly Uint8Array[];
  /** The language that the work needs; undefined if it runs on any engine. */
  readonly language: EngineLanguage | undefined;
}

/** Work, or a function that encodes it for the language of an engine. */
export type WorkFor = Work | ((language: EngineLanguage) => Work);

/** A JavaScript function that is sent as its source. */
export type JsFunction = (...args: never[]) => unknown;

/** A function that `apply` and `map` call on engines: a JavaScript function, or a Python one (`py`, `ref`). */
export type Callable = JsFunction | PyCallable | PyReference;

/** Keyword arguments of a Python function: see {@link kwargs}. */
export class Kwargs {
  readonly values: Readonly<Record<string, unknown>>;

  /** @throws {UsageError} when `values` is not an object */
  constructor(values: Readonly<Record<string, unknown>>) {
    if (typeof values !== 'object' || values === null || Array.isArray(values)) {
      throw new UsageError(
        `the argument of kwargs must be an object of keyword arguments, got ${values === null ? 'null' : Array.isArray(values) ? 'a list' : typeof values}`,
      );
    }
    this.values = values;
  }
}

/**
 * Creates keyword arguments for a Python function, to be passed as the last argument of a call:
 * `view.apply(f, 1, kwargs({ base: 2 }))`.
 * @throws {UsageError} when `values` is not an object
 */
export function kwargs(values: Readonly<Record<string, unknown>>): Kwargs {
  return new Kwargs(values);
}

/** Work that executes code; with `silent`, it publishes neither output nor result. */
export function executeWork(code: string, options: { readonly silent?: boolean }): Work {
  if (typeof code !== 'string') throw new UsageError(`code must be a string, got ${typeof code}`);
  return {
    msgType: 'execute_request',
    // Without `stop_on_error: false`, a Python engine aborts its whole queue, of every client, when this task fails.
    content: { code, silent: options.silent === true, user_expressions: {}, stop_on_error: false },
    buffers: [],
    language: undefined,
  };
}

/**
 * Work that calls a function; {@link Kwargs} may be the last argument.
 * @throws {UsageError} when the function or an argument cannot be sent
 */
export function workOfCall(fn: Callable, args: readonly unknown[]): Work {
  const last = args.at(-1);
  const keywords = last instanceof Kwargs ? last.values : undefined;
  const positional = keywords === undefined ? args : args.slice(0, -1);
  if (isPython(fn)) return pythonWork(packApplyMessage(fn, positional, keywords));
  if (typeof fn !== 'function')
    throw new UsageError(`the first argument must be a function, got ${typeof fn}`);
  if (keywords !== undefined)
    throw new UsageError(
      'kwargs must not be passed to a JavaScript function; pass an object as an argument instead',
    );
  return { msgType: 'apply_request', ...encodeJsCall(fn, positional), language: 'javascript' };
}

// Built-in functions are called through their module, because the namespace may have redefined their names.
const PYTHON_MAP = new PyCallable(
  '(lambda b: lambda f, *sequences: b.list(b.map(f, *sequences)))(__import__("builtins"))',
);

/**
 * Work that calls a function for each element of sequences, in one task. Its value is the list of results, which is as
 * long as the shortest sequence.
 * @throws {UsageError} when the function or an element cannot be sent
 */
export function workOfEach(fn: Callable, sequences: readonly unknown[]): Work {
  if (isPython(fn)) return pythonWork(packApplyMessage(PYTHON_MAP, [fn, ...sequences]));
  if (typeof fn !== 'function')
    throw new UsageError(`the first argument must be a function, got ${typeof fn}`);
  return { msgType: 'apply_request', ...encodeJsCall(fn, sequences, { each: true }), language: 'javascript' };
}

/** The name of a function, for error messages. */
export function nameOf(fn: Callable): string {
  if (fn instanceof PyCallable) return fn.source;
  return fn instanceof PyReference ? fn.expression : fn.name;
}

function isPython(fn: unknown): fn is PyCallable | PyReference {
  return fn instanceof PyCallable || fn instanceof PyReference;
}

function pythonWork(buffers: readonly Uint8Array[]): Work {
  return { msgType: 'apply_request', content: {}, buffers, language: 'python' };
}
