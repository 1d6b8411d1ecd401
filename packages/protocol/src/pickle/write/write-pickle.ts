import { UsageError } from '../../common/errors.js';
import { Place } from './place.js';
import { ValueWriter } from './value-writer.js';
import { type PickleProtocol, Writer } from './writer.js';

/** What every Python from 3.4 on reads. */
const DEFAULT_PROTOCOL = 4;

/** Options of {@link writePickle}. */
export interface WritePickleOptions {
  /** 2 to 5; 4 by default. */
  readonly protocol?: PickleProtocol;
  /** What an error calls the value; `the value` by default. */
  readonly what?: string;
}

/**
 * Encodes a value as a pickle: what `pickle.loads` gives in any Python from 3.8 on is in docs/python-values.md.
 * Shared and cyclic references are kept. Throws UsageError with the path to what has no counterpart.
 */
export function writePickle(value: unknown, options: WritePickleOptions = {}): Buffer {
  const { protocol = DEFAULT_PROTOCOL, what = 'the value' } = options;
  if (![2, 3, 4, 5].includes(protocol)) {
    throw new UsageError(`pickles are written in protocol 2, 3, 4 or 5, not ${protocol}`);
  }
  const out = new Writer(protocol);
  new ValueWriter(out, new Place(what)).write(value);
  return out.end();
}
