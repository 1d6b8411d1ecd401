import { UsageError } from '../../common/errors.js';
import { OpcodeWriter, type PickleProtocol } from './opcode-writer.js';
import { ValuePath } from './value-path.js';
import { ValueWriter } from './value-writer.js';

/** Python 3.4 and later read protocol 4. */
const DEFAULT_PROTOCOL = 4;

/** Options of {@link writePickle}. */
export interface WritePickleOptions {
  /** The pickle protocol, 2 to 5; 4 by default. */
  readonly protocol?: PickleProtocol;
  /** Name of the value in error messages; `the value` by default. */
  readonly what?: string;
}

/**
 * Encodes a value as a pickle for Python 3.8 and later; docs/python-values.md lists the resulting types. Shared and
 * cyclic references are preserved.
 * @throws {UsageError} when a part of the value has no Python counterpart; the message has the path to the part
 */
export function writePickle(value: unknown, options: WritePickleOptions = {}): Buffer {
  const { protocol = DEFAULT_PROTOCOL, what = 'the value' } = options;
  if (![2, 3, 4, 5].includes(protocol)) {
    throw new UsageError(`protocol must be 2, 3, 4 or 5, got ${protocol}`);
  }
  const out = new OpcodeWriter(protocol);
  new ValueWriter(out, new ValuePath(what)).write(value);
  return out.end();
}
