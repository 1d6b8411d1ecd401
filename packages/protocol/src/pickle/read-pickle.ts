import { ByteReader } from './byte-reader.js';
import { containerOpcodes } from './container-opcodes.js';
import { type OpcodeHandler, PickleMachine } from './machine.js';
import { objectOpcodes } from './object-opcodes.js';
import { Budget, type PickleLimits } from './pickle-limits.js';
import { resolveNodes } from './resolve-nodes.js';
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
 * Decodes a pickle of protocol 0 to 5 without running any of its code. Dicts become plain objects if every key is a
 * string, otherwise Maps; classes without a JavaScript counterpart become `OpaqueValue`s. Shared and recursive references
 * are preserved. Bytes after the end of the pickle are ignored, as in Python.
 * @throws {UnpickleError} when the pickle is malformed, refused or exceeds a limit
 */
export function readPickle(data: Uint8Array, options: ReadPickleOptions = {}): unknown {
  const budget = new Budget(options.limits);
  budget.addInput(data.length);
  for (const { length } of options.buffers ?? []) budget.addInput(length);
  return readPickleWithBudget(budget, data, options.buffers);
}

/** Like {@link readPickle}, with a budget that several pickles share. */
export function readPickleWithBudget(
  budget: Budget,
  data: Uint8Array,
  buffers: readonly Uint8Array[] = [],
): unknown {
  const reader = new ByteReader(data);
  try {
    return resolveNodes(new PickleMachine(reader, budget, buffers).run(handlers), budget);
  } catch (cause) {
    if (cause instanceof UnpickleError && cause.offset !== undefined) throw cause;
    throw new UnpickleError(reasonOf(cause), { offset: reader.position, cause });
  }
}

/** Returns the reason of any error. V8 throws a RangeError for a string or Map that exceeds its own limits. */
function reasonOf(cause: unknown): string {
  if (cause instanceof UnpickleError) return cause.problem;
  return cause instanceof Error ? cause.message : String(cause);
}
