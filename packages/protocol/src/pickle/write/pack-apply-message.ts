import { UsageError } from '../../common/errors.js';
import { PyCallable, PyReference } from '../py.js';
import { packObject } from './pack-object.js';
import { writePickle } from './write-pickle.js';

/**
 * The buffers of an `apply_request` to a Python engine: the function, the arguments and the keyword arguments. Throws
 * UsageError with the path to what cannot be sent. Mirrors ipyparallel `pack_apply_message`.
 */
export function packApplyMessage(
  fn: PyCallable | PyReference,
  args: readonly unknown[] = [],
  kwargs: Readonly<Record<string, unknown>> = {},
): Buffer[] {
  if (!(fn instanceof PyCallable || fn instanceof PyReference)) {
    throw new UsageError(
      `a Python engine calls Python functions: py\`lambda …\`, py('module.name') or ref('name'), not ${typeof fn}`,
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
