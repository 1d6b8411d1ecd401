import { UsageError } from '../../common/errors.js';
import { PyCallable, PyReference } from '../py.js';
import { packObject } from './pack-object.js';
import { writePickle } from './write-pickle.js';

/**
 * Encodes a function, arguments and keyword arguments as the buffers of an `apply_request` to a Python engine.
 * Mirrors `pack_apply_message` of ipyparallel.
 * @throws {UsageError} when a value has no Python counterpart; the message has the path to the value
 */
export function packApplyMessage(
  fn: PyCallable | PyReference,
  args: readonly unknown[] = [],
  kwargs: Readonly<Record<string, unknown>> = {},
): Buffer[] {
  if (!(fn instanceof PyCallable || fn instanceof PyReference)) {
    throw new UsageError(
      `the function must be py\`lambda …\`, py('module.name') or ref('name'), got ${typeof fn}`,
    );
  }
  const argBuffers = args.flatMap((arg, i) => packObject(arg, `argument ${i}`));
  const keys = Object.keys(kwargs);
  const info = { nargs: args.length, narg_bufs: argBuffers.length, kw_keys: keys };
  return [
    ...packObject(fn),
    writePickle(info),
    ...argBuffers,
    ...keys.flatMap((key) => packObject(kwargs[key], `keyword argument ${key}`)),
  ];
}
