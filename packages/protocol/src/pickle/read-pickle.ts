import { ByteReader } from './byte-reader.js';
import { containerOpcodes } from './container-opcodes.js';
import { finish } from './finish.js';
import { type OpcodeHandler, PickleMachine } from './machine.js';
import { objectOpcodes } from './object-opcodes.js';
import { Budget, type PickleLimits } from './pickle-limits.js';
import { scalarOpcodes } from './scalar-opcodes.js';
import { UnpickleError } from './unpickle-error.js';

const OPCODES = 256;
const table = { ...scalarOpcodes, ...containerOpcodes, ...objectOpcodes };
const handlers = Array.from({ length: OPCODES }, (_, opcode): OpcodeHandler | undefined => table[opcode]);

/** Options of {@link readPickle}. */
export interface ReadPickleOptions {
  /** Limits other than the defaults; see {@link PickleLimits}. */
  readonly limits?: Partial<PickleLimits>;
  /** Out-of-band buffers of protocol 5, in order. They are not copied. */
  readonly buffers?: readonly Uint8Array[];
}

/**
 * Decodes a pickle of protocol 0 to 5 without running anything of it: JSON-like values, bytes (`Uint8Array`), sets,
 * dicts (an object when every key is text, else a Map), dates; anything else is an `OpaqueValue`. Shared and
 * recursive references are kept. What follows the pickle's end is ignored, as Python does. Throws {@link UnpickleError}.
 */
export function readPickle(data: Uint8Array, options: ReadPickleOptions = {}): unknown {
  const budget = new Budget(options.limits);
  budget.feed(data.length);
  for (const { length } of options.buffers ?? []) budget.feed(length);
  return readWithin(budget, data, options.buffers);
}

/** {@link readPickle} within a budget that several pickles share. */
export function readWithin(budget: Budget, data: Uint8Array, buffers: readonly Uint8Array[] = []): unknown {
  const reader = new ByteReader(data);
  try {
    return finish(new PickleMachine(reader, budget, buffers).run(handlers), budget);
  } catch (cause) {
    if (cause instanceof UnpickleError && cause.offset !== undefined) throw cause;
    throw new UnpickleError(reasonOf(cause), { offset: reader.position, cause });
  }
}

/** A RangeError of the engine, at a string or Map past its own limits, is a refusal too. */
function reasonOf(cause: unknown): string {
  if (cause instanceof UnpickleError) return cause.problem;
  return cause instanceof Error ? cause.message : String(cause);
}
