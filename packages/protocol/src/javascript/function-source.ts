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
 * Returns an expression that evaluates to the function: its source, or the source of a method wrapped in an object.
 * @throws {UsageError} when the function is native or bound, because such a function has no source
 */
export function functionSource(fn: (...args: never[]) => unknown): string {
  const text = Function.prototype.toString.call(fn);
  if (/\{\s*\[native code\]\s*\}\s*$/.test(text)) {
    throw new UsageError(
      `${fn.name === '' ? 'a native or bound function' : `function "${fn.name}"`} has no source to send; wrap the function: (...args) => …`,
    );
  }
  if (compiles(`(${text})`)) return text;
  // The source of a method, `name(…) { … }`, is valid only inside an object.
  const key = JSON.stringify(fn.name);
  const method = `({ ${text} })[${key}]`;
  if (compiles(method)) return method;
  throw new UsageError(
    `the source of function "${fn.name}" is not a valid expression; write the function as an arrow function or a function expression`,
  );
}

/** Whether a name can be the name of a parameter. Engines pass captured values as parameters. */
export function isBindable(name: string): boolean {
  // The pattern excludes text with more than a name, which would run as code: `k, evil = …`.
  return /^[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*$/u.test(name) && compiles(`(${name}) => 0`);
}
