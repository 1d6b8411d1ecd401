import vm from 'node:vm';
import { UsageError } from '../common/errors.js';

function compiles(source: string): boolean {
  try {
    new vm.Script(source);
    return true;
  } catch {
    return false;
  }
}

/**
 * An expression that evaluates to the function: its own text, or that of a method made to stand alone.
 * @throws UsageError for native and bound functions, whose text is not to be had
 */
export function functionSource(fn: (...args: never[]) => unknown): string {
  const text = Function.prototype.toString.call(fn);
  if (/\{\s*\[native code\]\s*\}\s*$/.test(text)) {
    throw new UsageError(
      `${fn.name === '' ? 'a native or bound function' : `function "${fn.name}"`} has no source to send; wrap it: (...args) => …`,
    );
  }
  if (compiles(`(${text})`)) return text;
  // A method's text, `name(…) { … }`, stands only inside an object.
  const key = JSON.stringify(fn.name);
  const method = `({ ${text} })[${key}]`;
  if (compiles(method)) return method;
  throw new UsageError(`the source of function "${fn.name}" does not stand alone`);
}

/** Whether a name can be a parameter's: what captures are bound as. */
export function isBindable(name: string): boolean {
  // A text that is more than a name would be code: `k, evil = …`.
  return /^[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*$/u.test(name) && compiles(`(${name}) => 0`);
}
