import { capture, PyCallable, UsageError } from '@ipyparallel-js/protocol';
import { describe } from '@ipyparallel-js/protocol/internal';
import type { JsFunction } from './work.js';

/**
 * Restricts a function to engines where a check succeeds: `depend(check, …arguments)(fn)`. If the check returns false or
 * throws `UnmetDependency`, the task scheduler tries another engine until none is left. Check and function must have the
 * same language; a Python check takes no arguments. For load-balanced views. Mirrors ipyparallel `depend`.
 * @throws {UsageError} when the languages differ
 */
export function depend<C extends unknown[]>(
  check: (...args: C) => unknown,
  ...args: C
): <F extends JsFunction>(fn: F) => F;
export function depend(check: PyCallable): <R>(fn: PyCallable<R>) => PyCallable<R>;
export function depend(check: JsFunction | PyCallable, ...args: readonly unknown[]): (fn: never) => unknown {
  return (fn: JsFunction | PyCallable) => {
    if (check instanceof PyCallable && fn instanceof PyCallable) {
      if (args.length > 0) {
        throw new UsageError(
          'a Python check takes no arguments; write them into its expression: py`lambda: check(1)`',
        );
      }
      return dependentPython(check, fn);
    }
    if (typeof check === 'function' && typeof fn === 'function') return dependentJs(check, args, fn);
    throw new UsageError('the check and the function must both be JavaScript or both be Python');
  };
}

/**
 * Restricts a function to engines that have certain modules. A Python engine imports them into its namespace; a JavaScript
 * engine checks that they can be resolved. For load-balanced views. Mirrors ipyparallel `require`; use `capture` or `push`
 * for objects other than modules.
 * @throws {UsageError} when a name is not a string, or a Python module has no importable name
 */
export function requireModules(
  ...names: readonly string[]
): <F extends JsFunction | PyCallable<unknown>>(fn: F) => F {
  for (const name of names) {
    if (typeof name !== 'string') throw new UsageError(`a module name must be a string, got ${typeof name}`);
  }
  return <F extends JsFunction | PyCallable<unknown>>(fn: F): F =>
    (fn instanceof PyCallable
      ? dependentPython(pythonImports(names), fn)
      : dependentJs(findModules, [names], fn)) as F;
}

function dependentJs(check: JsFunction, checkArguments: readonly unknown[], fn: JsFunction): JsFunction {
  const guarded = async (...args: never[]): Promise<unknown> => {
    if ((await check(...(checkArguments as never[]))) === false) {
      const unmet = new Error('the check returned false');
      unmet.name = 'UnmetDependency';
      throw unmet;
    }
    return fn(...args);
  };
  Object.defineProperty(guarded, 'name', { value: fn.name, configurable: true });
  return capture(guarded, { check, checkArguments, fn });
}

/** Runs on the engine, where `require` resolves from the working directory. */
function findModules(names: readonly string[]): boolean {
  const { require } = globalThis as unknown as { readonly require: NodeJS.Require };
  return names.every((name) => {
    try {
      require.resolve(name);
      return true;
    } catch (error) {
      // The package exists, but it supports import() only.
      return (error as { readonly code?: unknown }).code === 'ERR_PACKAGE_PATH_NOT_EXPORTED';
    }
  });
}

/** A Python expression that raises: an exception thrown into a generator. */
const RAISE_EXPRESSION = '(_ for _ in ()).throw(__import__("ipyparallel.error").error.UnmetDependency())';

function dependentPython<R>(check: PyCallable, fn: PyCallable<R>): PyCallable<R> {
  const call = `lambda *args, **kwargs: f()(*args, **kwargs) if check()() is not False else ${RAISE_EXPRESSION}`;
  return new PyCallable<R>(
    `(lambda check, f: ${call})(lambda: (${check.expression}), lambda: (${fn.expression}))`,
  );
}

function pythonImports(names: readonly string[]): PyCallable {
  for (const name of names) {
    if (!/^[\p{ID_Start}_][\p{ID_Continue}.]*$/u.test(name)) {
      throw new UsageError(`a Python module must have an importable name, got ${describe(name)}`);
    }
  }
  return new PyCallable(`
    def check():
        import builtins
        for name in ${JSON.stringify(names)}:
            try:
                builtins.exec('import ' + name, builtins.globals())
            except builtins.ImportError:
                return False
        return True
  `);
}
