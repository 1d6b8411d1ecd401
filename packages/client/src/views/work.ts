import { type Dict, PyCallable, PyReference, packApplyMessage, UsageError } from '@ipyparallel-js/protocol';
import { encodeJsCall } from '@ipyparallel-js/protocol/internal';
import type { EngineLanguage } from '../engines/engine-languages.js';

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

/** Work that can be put in several languages: by the language of the engine that gets it. */
export type WorkFor = Work | ((language: EngineLanguage) => Work);

/** A JavaScript function whose source travels. */
export type JsFunction = (...args: never[]) => unknown;

/** What `apply` and `map` call on an engine: a JavaScript function, or a Python one (`py`, `ref`). */
export type Callable = JsFunction | PyCallable | PyReference;

/** Keyword arguments of a Python function: see {@link kwargs}. */
export class Kwargs {
  readonly values: Readonly<Record<string, unknown>>;

  constructor(values: Readonly<Record<string, unknown>>) {
    if (typeof values !== 'object' || values === null || Array.isArray(values)) {
      throw new UsageError('kwargs takes an object of keyword arguments');
    }
    this.values = values;
  }
}

/** Keyword arguments for a Python function, as the last argument of a call: `view.apply(f, 1, kwargs({ base: 2 }))`. */
export function kwargs(values: Readonly<Record<string, unknown>>): Kwargs {
  return new Kwargs(values);
}

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
 * A call of a function on an engine; {@link Kwargs} may be its last argument.
 * @throws UsageError when the function or an argument cannot be sent
 */
export function workOfCall(fn: Callable, args: readonly unknown[]): Work {
  const last = args.at(-1);
  const named = last instanceof Kwargs ? last.values : undefined;
  const positional = named === undefined ? args : args.slice(0, -1);
  if (isPython(fn)) return pythonWork(packApplyMessage(fn, positional, named));
  if (typeof fn !== 'function') throw new UsageError(`a function is called, not ${typeof fn}`);
  if (named !== undefined) throw new UsageError('a JavaScript function takes no keyword arguments');
  return { msgType: 'apply_request', ...encodeJsCall(fn, positional), language: 'javascript' };
}

// Built-in functions are called by their module: the engine's namespace may have other things under their names.
const PYTHON_MAP = new PyCallable(
  '(lambda b: lambda f, *sequences: b.list(b.map(f, *sequences)))(__import__("builtins"))',
);

/**
 * A call of a function for each element of some sequences, as one task; its value is the list of results, as long as
 * the shortest sequence. @throws UsageError when the function or an element cannot be sent
 */
export function workOfEach(fn: Callable, sequences: readonly unknown[]): Work {
  if (isPython(fn)) return pythonWork(packApplyMessage(PYTHON_MAP, [fn, ...sequences]));
  if (typeof fn !== 'function') throw new UsageError(`a function is mapped, not ${typeof fn}`);
  return { msgType: 'apply_request', ...encodeJsCall(fn, sequences, { each: true }), language: 'javascript' };
}

/** The name of a function, for messages and labels. */
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
