import { getOwn, isDict } from '../common/dict.js';
import { CanOpener } from './canning.js';
import { setOwn } from './finish.js';
import { Budget, type PickleLimits } from './pickle-limits.js';
import { readWithin } from './read-pickle.js';
import { UnpickleError } from './unpickle-error.js';

/** Options of {@link unpackResult} and {@link unpackApplyMessage}. */
export interface UnpackOptions {
  /** Limits other than the defaults, for all pickles of the message together. */
  readonly limits?: Partial<PickleLimits>;
}

/** A decoded value, and the buffers that are not part of it. */
export interface UnpackedResult {
  readonly value: unknown;
  readonly rest: readonly Uint8Array[];
}

/** The function, arguments and keyword arguments of an `apply_request`. */
export interface UnpackedApply {
  /** An `OpaqueValue` that names the function, where it is one. */
  readonly f: unknown;
  readonly args: readonly unknown[];
  readonly kwargs: Readonly<Record<string, unknown>>;
}

/** Takes serialized objects off a list of buffers, one after the other. */
class ObjectReader {
  readonly #buffers: readonly Uint8Array[];
  readonly #budget: Budget;
  #next = 0;

  constructor(buffers: readonly Uint8Array[], budget: Budget) {
    this.#buffers = buffers;
    this.#budget = budget;
  }

  get rest(): readonly Uint8Array[] {
    return this.#buffers.slice(this.#next);
  }

  #take(): Uint8Array {
    const buffer = this.#buffers[this.#next];
    if (buffer === undefined) {
      throw new UnpickleError(`the message has ${this.#buffers.length} buffers, one more is needed`);
    }
    this.#next += 1;
    this.#budget.feed(buffer.byteLength);
    // Plain bytes, whatever kind of Buffer the socket gave.
    return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  }

  /** A pickle, followed by the buffers that were taken out of it. */
  object(): unknown {
    const opener = new CanOpener(this.#budget, () => this.#take());
    return opener.openElements(this.pickle());
  }

  pickle(): unknown {
    return readWithin(this.#budget, this.#take());
  }

  expectEnd(what: string): void {
    const left = this.#buffers.length - this.#next;
    if (left > 0) throw new UnpickleError(`${left} buffers are left over after the ${what}`);
  }
}

/**
 * Decodes one object from the buffers of an `apply_reply`, and returns the buffers left over. Large bytes share the
 * memory of their buffer. Throws {@link UnpickleError}. Mirrors ipyparallel `deserialize_object`.
 */
export function unpackResult(buffers: readonly Uint8Array[], options: UnpackOptions = {}): UnpackedResult {
  const reader = new ObjectReader(buffers, new Budget(options.limits));
  const value = reader.object();
  return { value, rest: reader.rest };
}

/**
 * Decodes the buffers of an `apply_request`. Nothing is called: the function is an `OpaqueValue`. Throws
 * {@link UnpickleError}. Mirrors ipyparallel `unpack_apply_message`.
 */
export function unpackApplyMessage(
  buffers: readonly Uint8Array[],
  options: UnpackOptions = {},
): UnpackedApply {
  const budget = new Budget(options.limits);
  const reader = new ObjectReader(buffers, budget);
  const f = reader.object();
  const { argCount, argBuffers, keys } = readInfo(reader.pickle());

  const rest = reader.rest;
  const argReader = new ObjectReader(rest.slice(0, argBuffers), budget);
  const args: unknown[] = [];
  for (let i = 0; i < argCount; i += 1) args.push(argReader.object());
  argReader.expectEnd('arguments');

  const kwargReader = new ObjectReader(rest.slice(argBuffers), budget);
  const kwargs: Record<string, unknown> = {};
  for (const key of keys) setOwn(kwargs, key, kwargReader.object());
  kwargReader.expectEnd('keyword arguments');
  return { f, args, kwargs };
}

function readInfo(info: unknown): { argCount: number; argBuffers: number; keys: readonly string[] } {
  if (!isDict(info))
    throw new UnpickleError('the second object of an apply_request is not its table of contents');
  const keys = getOwn(info, 'kw_keys');
  if (!Array.isArray(keys) || !keys.every((key): key is string => typeof key === 'string')) {
    throw new UnpickleError('kw_keys of an apply_request is not a list of names');
  }
  return { argCount: count(info, 'nargs'), argBuffers: count(info, 'narg_bufs'), keys };
}

function count(info: { readonly [key: string]: unknown }, key: string): number {
  const value = getOwn(info, key);
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw new UnpickleError(`${key} of an apply_request is not a count`);
  }
  return value;
}
