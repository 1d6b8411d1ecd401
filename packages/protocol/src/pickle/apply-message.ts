import { getOwn, isDict } from '../common/dict.js';
import { MessageUncanner } from './canning.js';
import { Budget, type PickleLimits } from './pickle-limits.js';
import { readPickleWithBudget } from './read-pickle.js';
import { setOwn } from './resolve-nodes.js';
import { UnpickleError } from './unpickle-error.js';

/** Options of {@link unpackResult} and {@link unpackApplyMessage}. */
export interface UnpackOptions {
  /** Limits that differ from the defaults, for all pickles of the message together. */
  readonly limits?: Partial<PickleLimits>;
}

/** A decoded value and the buffers after it. */
export interface UnpackedResult {
  readonly value: unknown;
  readonly rest: readonly Uint8Array[];
}

/** The function, arguments and keyword arguments of an `apply_request`. */
export interface UnpackedApply {
  /** An `OpaqueValue` that names the function, if the message holds a function. */
  readonly f: unknown;
  readonly args: readonly unknown[];
  readonly kwargs: Readonly<Record<string, unknown>>;
}

/** Reads serialized objects from a list of buffers, in order. */
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

  #nextFrame(): Uint8Array {
    const buffer = this.#buffers[this.#next];
    if (buffer === undefined) {
      throw new UnpickleError(`the message has ${this.#buffers.length} buffers, but needs at least one more`);
    }
    this.#next += 1;
    this.#budget.addInput(buffer.byteLength);
    // A plain Uint8Array, even if the socket delivers Buffers.
    return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  }

  /** Reads a pickle and the buffers that were separated from it. */
  object(): unknown {
    const uncanner = new MessageUncanner(this.#budget, () => this.#nextFrame());
    return uncanner.uncanElements(this.pickle());
  }

  pickle(): unknown {
    return readPickleWithBudget(this.#budget, this.#nextFrame());
  }

  expectEnd(what: string): void {
    const left = this.#buffers.length - this.#next;
    if (left > 0) throw new UnpickleError(`${left} buffers are left after the ${what}`);
  }
}

/**
 * Decodes one object from the buffers of an `apply_reply`. Large bytes share the memory of their buffer.
 * Mirrors `deserialize_object` of ipyparallel.
 * @returns the value and the buffers after it
 * @throws {UnpickleError} when a pickle is malformed, refused or exceeds a limit, or a buffer is missing
 */
export function unpackResult(buffers: readonly Uint8Array[], options: UnpackOptions = {}): UnpackedResult {
  const reader = new ObjectReader(buffers, new Budget(options.limits));
  const value = reader.object();
  return { value, rest: reader.rest };
}

/**
 * Decodes the buffers of an `apply_request` without calling the function, which becomes an `OpaqueValue`.
 * Mirrors `unpack_apply_message` of ipyparallel.
 * @throws {UnpickleError} when a pickle is malformed, refused or exceeds a limit, or the buffers do not match their counts
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
    throw new UnpickleError(
      'the second object of an apply_request must be a dict with nargs, narg_bufs and kw_keys',
    );
  const keys = getOwn(info, 'kw_keys');
  if (!Array.isArray(keys) || !keys.every((key): key is string => typeof key === 'string')) {
    throw new UnpickleError('kw_keys of an apply_request must be a list of strings');
  }
  return { argCount: count(info, 'nargs'), argBuffers: count(info, 'narg_bufs'), keys };
}

function count(info: { readonly [key: string]: unknown }, key: string): number {
  const value = getOwn(info, key);
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw new UnpickleError(`${key} of an apply_request must be an integer >= 0`);
  }
  return value;
}
