import { type Dict, getOwn, getOwnString, isDict } from '../common/dict.js';
import { MalformedMessageError, UsageError } from '../common/errors.js';
import { functionSource } from './function-source.js';
import { type AnyFunction, recipeOf } from './js-function.js';
import { type PackedValues, packValue, unpackValue } from './packed-values.js';
import { task } from './task-context.js';

// A JavaScript call is an apply_request whose content holds the function's source and the digests of the buffers. The
// signature covers the content but not the buffers. The digests are in the content and not in the metadata, because a
// stock hub drops the metadata of a task that it resubmits.

/** The target of a captured name: `value`, a packed value; `task`, the running task; a number, an index in {@link JsCall.functions}. */
export type CaptureRef = 'value' | 'task' | number;

/** A function in a message: an expression with captured names, or an export of a module. */
export type WireFunction =
  | {
      readonly source: string;
      readonly name: string;
      readonly captures?: { readonly [name: string]: CaptureRef };
    }
  | { readonly module: string; readonly name: string };

/** The content of an `apply_request` for a JavaScript engine. Its own source or module is the called function. */
export type JsCall = WireFunction & {
  readonly language: 'javascript';
  /** Whether the arguments are lists and the function is called for each index, as in a map; the result is a list. */
  readonly each?: true;
  /** Captured functions; each may capture only functions before it. */
  readonly functions?: readonly WireFunction[];
  /** Whether the packed value is `[arguments, values]`. `values` has a dict per function; that of the called function is last. */
  readonly captured_values?: boolean;
  /** SHA-256 of each buffer, in hexadecimal. */
  readonly buffer_digests: readonly string[];
};

/** The content of a message, to be signed, and the buffers whose digests it contains. */
export interface JsPayload<C extends Dict = Dict> {
  readonly content: C;
  readonly buffers: readonly Buffer[];
}

export interface DecodedCall {
  /** Each function may capture only functions before it. The last one is called. */
  readonly functions: readonly WireFunction[];
  /** Captured values by name, one dict per function. */
  readonly values: readonly Dict[];
  readonly args: readonly unknown[];
  /** Whether the arguments are lists and the function is called for each index. */
  readonly each: boolean;
}

/** Maximum number of functions of one call, because a peer may send arbitrarily many. */
const MAX_FUNCTIONS = 1_000;

/**
 * Encodes a call of a JavaScript function. The function is sent as source, without the variables it closes over except
 * those named by `capture`. Arguments may be any values that structured clone accepts.
 * @throws {UsageError} when the function has no source (native or bound), or an argument cannot be packed
 */
export function encodeJsCall(
  fn: AnyFunction,
  args: readonly unknown[],
  options: { readonly each?: boolean } = {},
): JsPayload<JsCall & Dict> {
  const functions: WireFunction[] = [];
  const values: Dict[] = [];
  new FunctionWriter(functions, values).add(fn);
  const calledFunction = functions.pop();
  if (calledFunction === undefined) throw new UsageError('the call has no function');
  const hasCapturedValues = values.some((captured) => Object.keys(captured).length > 0);
  const { buffers, digests } = hasCapturedValues
    ? packValue([args, values], 'the list of arguments and captured values')
    : packValue(args, 'the list of arguments');
  return {
    content: {
      language: 'javascript',
      ...calledFunction,
      ...(functions.length === 0 ? {} : { functions }),
      ...(options.each === true ? { each: true } : {}),
      ...(hasCapturedValues ? { captured_values: true } : {}),
      buffer_digests: digests,
    },
    buffers,
  };
}

/** Writes functions in an order in which each function follows all functions that it captures. */
class FunctionWriter {
  readonly #functions: WireFunction[];
  readonly #values: Dict[];
  readonly #indexes = new Map<AnyFunction, number>();

  constructor(functions: WireFunction[], values: Dict[]) {
    this.#functions = functions;
    this.#values = values;
  }

  /** @returns the index of the function */
  add(fn: AnyFunction): number {
    const known = this.#indexes.get(fn);
    if (known !== undefined) return known;
    const values: { [name: string]: unknown } = {};
    const index = this.#functions.push(this.#encode(fn, values)) - 1;
    this.#values.push(values);
    this.#indexes.set(fn, index);
    if (index >= MAX_FUNCTIONS) throw new UsageError(`a call can have at most ${MAX_FUNCTIONS} functions`);
    return index;
  }

  #encode(fn: AnyFunction, values: { [name: string]: unknown }): WireFunction {
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

/** Whether an `apply_request`, `apply_reply` or `data_message` with this content comes from JavaScript. */
export function isJsContent(content: Dict): boolean {
  return getOwn(content, 'language') === 'javascript';
}

/**
 * Decodes a call.
 * @throws {MalformedMessageError} when the content is not a call, or a buffer does not match its signed digest
 */
export function decodeJsCall(content: Dict, buffers: readonly Uint8Array[]): DecodedCall {
  const helpers = getOwn(content, 'functions') ?? [];
  if (!isJsContent(content) || !Array.isArray(helpers) || helpers.length > MAX_FUNCTIONS) {
    throw new MalformedMessageError(
      `the apply_request must have the language "javascript" and a list of at most ${MAX_FUNCTIONS} functions`,
    );
  }
  const functions = [...helpers, content].map(readFunction);
  const packed = unpackValue(content, buffers);
  const [args, values] =
    getOwn(content, 'captured_values') === true && Array.isArray(packed) ? packed : [packed, []];
  if (!Array.isArray(args) || !Array.isArray(values)) {
    throw new MalformedMessageError('the arguments of a JavaScript call must be a list');
  }
  return {
    functions,
    values: functions.map((_, i) => (isDict(values[i]) ? values[i] : {})),
    args,
    each: getOwn(content, 'each') === true,
  };
}

function readFunction(wire: unknown, index: number): WireFunction {
  if (isDict(wire)) {
    const name = getOwnString(wire, 'name') ?? '';
    const module = getOwnString(wire, 'module');
    if (module !== undefined) return { module, name };
    const source = getOwnString(wire, 'source');
    const captures = getOwn(wire, 'captures') ?? {};
    if (
      source !== undefined &&
      isDict(captures) &&
      Object.values(captures).every((ref) => isRef(ref, index))
    ) {
      return { source, name, captures: captures as { readonly [name: string]: CaptureRef } };
    }
  }
  throw new MalformedMessageError(
    `function ${index} of the apply_request must have a module, or a source and valid captures`,
  );
}

function isRef(ref: unknown, functionIndex: number): ref is CaptureRef {
  return (
    ref === 'value' ||
    ref === 'task' ||
    (Number.isInteger(ref) && Number(ref) >= 0 && Number(ref) < functionIndex)
  );
}

/**
 * Encodes the result of a JavaScript function. Large binary data in it must not change until it is sent.
 * @throws {UsageError} when the result cannot be packed
 */
export function encodeJsResult(value: unknown): JsPayload {
  return payload(packValue(value, 'the result', { views: true }), { status: 'ok' });
}

/**
 * Decodes the result of a JavaScript function.
 * @throws {MalformedMessageError} when a buffer does not match its signed digest
 */
export function decodeJsResult(content: Dict, buffers: readonly Uint8Array[]): unknown {
  return unpackValue(content, buffers);
}

function payload({ buffers, digests }: PackedValues, content: Dict): JsPayload {
  return { content: { ...content, language: 'javascript', buffer_digests: digests }, buffers };
}
