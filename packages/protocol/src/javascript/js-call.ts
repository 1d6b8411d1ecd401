import { type Dict, getOwn, getOwnString, isDict } from '../common/dict.js';
import { MalformedMessageError, UsageError } from '../common/errors.js';
import { functionSource } from './function-source.js';
import { type AnyFunction, recipeOf } from './js-function.js';
import { type PackedValues, packValue, unpackValue } from './packed-values.js';
import { task } from './task-context.js';

// A JavaScript call is an apply_request whose signed content holds the function's source and the digests of the
// buffers, which no signature covers. The digests stand in the content and not in the metadata because a stock
// hub drops a task's metadata when it resubmits it.

/**
 * What a captured name stands for: `value`, among the packed values; `task`, the running task; a number, that one of
 * {@link JsCall.functions}.
 */
export type CaptureRef = 'value' | 'task' | number;

/** A function as it travels: an expression with names bound around it, or an export of a module. */
export type WireFunction =
  | {
      readonly source: string;
      readonly name: string;
      readonly captures?: { readonly [name: string]: CaptureRef };
    }
  | { readonly module: string; readonly name: string };

/** The content of an `apply_request` for a JavaScript engine; the function called and what it takes. */
export type JsCall = WireFunction & {
  readonly language: 'javascript';
  /** Calls the function for each place of its arguments, which are lists, as a map does; gives the list of results. */
  readonly each?: true;
  /** Captured functions; each captures from those before it only. */
  readonly functions?: readonly WireFunction[];
  /** Whether the packed arguments are `[arguments, values by function and name]`, the called function's last. */
  readonly captured_values?: boolean;
  /** SHA-256 of each buffer, in hexadecimal. */
  readonly buffer_digests: readonly string[];
};

/** A signed content and the buffers it vouches for. */
export interface JsPayload<C extends Dict = Dict> {
  readonly content: C;
  readonly buffers: readonly Buffer[];
}

/** A call as an engine runs it. */
export interface DecodedCall {
  /** In order: each captures from those before it only; the last one is called. */
  readonly functions: readonly WireFunction[];
  /** Captured values by name, one dict for each function. */
  readonly values: readonly Dict[];
  readonly args: readonly unknown[];
  /** Whether the function is called for each place of the arguments, which are lists. */
  readonly each: boolean;
}

/** More captured functions than that are a mistake, or an attack. */
const MAX_FUNCTIONS = 1_000;

/**
 * Encodes a call of a JavaScript function. The function travels as its source: what it closes over travels only when
 * `capture` names it. Arguments may be anything that structured clone takes, functions excepted.
 * @throws UsageError when the source does not stand alone (native, bound), or an argument cannot be packed
 */
export function encodeJsCall(
  fn: AnyFunction,
  args: readonly unknown[],
  options: { readonly each?: boolean } = {},
): JsPayload<JsCall & Dict> {
  const functions: WireFunction[] = [];
  const values: Dict[] = [];
  new FunctionWriter(functions, values).add(fn);
  const called = functions.pop();
  if (called === undefined) throw new UsageError('there is no function to call');
  const capturing = values.some((each) => Object.keys(each).length > 0);
  const { buffers, digests } = capturing
    ? packValue([args, values], 'the arguments and captured values')
    : packValue(args, 'the arguments');
  return {
    content: {
      language: 'javascript',
      ...called,
      ...(functions.length === 0 ? {} : { functions }),
      ...(options.each === true ? { each: true } : {}),
      ...(capturing ? { captured_values: true } : {}),
      buffer_digests: digests,
    },
    buffers,
  };
}

/** Writes functions so that each stands behind all that it captures. */
class FunctionWriter {
  readonly #functions: WireFunction[];
  readonly #values: Dict[];
  readonly #written = new Map<AnyFunction, number>();

  constructor(functions: WireFunction[], values: Dict[]) {
    this.#functions = functions;
    this.#values = values;
  }

  /** Its place among the functions. */
  add(fn: AnyFunction): number {
    const there = this.#written.get(fn);
    if (there !== undefined) return there;
    const values: { [name: string]: unknown } = {};
    const wire = this.#wire(fn, values);
    const place = this.#functions.push(wire) - 1;
    this.#values.push(values);
    this.#written.set(fn, place);
    if (place >= MAX_FUNCTIONS) throw new UsageError(`a call takes at most ${MAX_FUNCTIONS} functions`);
    return place;
  }

  #wire(fn: AnyFunction, values: { [name: string]: unknown }): WireFunction {
    const recipe = recipeOf(fn);
    if (recipe.kind === 'module') return { module: recipe.module, name: recipe.name };
    const captures = new Map<string, CaptureRef>();
    for (const [name, value] of recipe.captures) {
      if (value === task) captures.set(name, 'task');
      else if (typeof value === 'function') captures.set(name, this.add(value as AnyFunction));
      else {
        captures.set(name, 'value');
        Object.defineProperty(values, name, { value, enumerable: true });
      }
    }
    return {
      source: functionSource(recipe.fn),
      name: recipe.fn.name,
      ...(captures.size === 0 ? {} : { captures: Object.fromEntries(captures) }),
    };
  }
}

/** Whether the content of an `apply_request`, `apply_reply` or `data_message` is JavaScript's. */
export function isJsContent(content: Dict): boolean {
  return getOwn(content, 'language') === 'javascript';
}

/** Reads a call. @throws MalformedMessageError when it is none, or a buffer is not the one whose digest was signed */
export function decodeJsCall(content: Dict, buffers: readonly Uint8Array[]): DecodedCall {
  const helpers = getOwn(content, 'functions') ?? [];
  if (!isJsContent(content) || !Array.isArray(helpers) || helpers.length > MAX_FUNCTIONS) {
    throw new MalformedMessageError('the apply_request carries no JavaScript function');
  }
  const functions = [...helpers, content].map(readFunction);
  const packed = unpackValue(content, buffers);
  const [args, values] =
    getOwn(content, 'captured_values') === true && Array.isArray(packed) ? packed : [packed, []];
  if (!Array.isArray(args) || !Array.isArray(values)) {
    throw new MalformedMessageError('the arguments are not a list');
  }
  return {
    functions,
    values: functions.map((_, i) => (isDict(values[i]) ? values[i] : {})),
    args,
    each: getOwn(content, 'each') === true,
  };
}

function readFunction(wire: unknown, place: number): WireFunction {
  if (isDict(wire)) {
    const name = getOwnString(wire, 'name') ?? '';
    const module = getOwnString(wire, 'module');
    if (module !== undefined) return { module, name };
    const source = getOwnString(wire, 'source');
    const captures = getOwn(wire, 'captures') ?? {};
    if (
      source !== undefined &&
      isDict(captures) &&
      Object.values(captures).every((ref) => isRef(ref, place))
    ) {
      return { source, name, captures: captures as { readonly [name: string]: CaptureRef } };
    }
  }
  throw new MalformedMessageError('the apply_request carries no JavaScript function');
}

function isRef(ref: unknown, place: number): ref is CaptureRef {
  return (
    ref === 'value' || ref === 'task' || (Number.isInteger(ref) && Number(ref) >= 0 && Number(ref) < place)
  );
}

/**
 * Encodes what a JavaScript function returned; large binary data in it must not change until it is sent.
 * @throws UsageError when it cannot be packed
 */
export function encodeJsResult(value: unknown): JsPayload {
  return payload(packValue(value, 'the result', { views: true }), { status: 'ok' });
}

/** Reads what a JavaScript function returned. @throws MalformedMessageError when a buffer was altered */
export function decodeJsResult(content: Dict, buffers: readonly Uint8Array[]): unknown {
  return unpackValue(content, buffers);
}

function payload({ buffers, digests }: PackedValues, content: Dict): JsPayload {
  return { content: { ...content, language: 'javascript', buffer_digests: digests }, buffers };
}
