import { UsageError } from '../common/errors.js';
import { isBindable } from './function-source.js';

export type AnyFunction = (...args: never[]) => unknown;

/**
 * The result of a task whose function returns `R`. A promise is awaited; a generator results in its return value or, if
 * it returns nothing, in the list of the values it yields.
 */
export type TaskResult<R> =
  Awaited<R> extends Generator<infer Y, infer Z> | AsyncGenerator<infer Y, infer Z>
    ? // biome-ignore lint/suspicious/noConfusingVoidType: the return type of a generator that returns nothing
      [Z] extends [void]
      ? Awaited<Y>[]
      : Awaited<Z>
    : Awaited<R>;

/** How an engine obtains a function. */
export type Recipe =
  /** From its source, with captured names. */
  | { readonly kind: 'source'; readonly fn: AnyFunction; readonly captures: ReadonlyMap<string, unknown> }
  /** From a module that the engine imports. */
  | { readonly kind: 'module'; readonly module: string; readonly name: string };

// A registered symbol, because one program may load several copies of this package.
const RECIPE = Symbol.for('ipyparallel-js: recipe of a function');

/** The recipe attached to a function; by default its source without captures. */
export function recipeOf(fn: AnyFunction): Recipe {
  const recipe: unknown = Object.hasOwn(fn, RECIPE) ? Reflect.get(fn, RECIPE) : undefined;
  return (recipe as Recipe | undefined) ?? { kind: 'source', fn, captures: new Map() };
}

/** Attaches a recipe to a function. */
export function withRecipe<F extends AnyFunction>(fn: F, recipe: Recipe): F {
  Object.defineProperty(fn, RECIPE, { value: recipe });
  return fn;
}

/**
 * Returns a function that is sent to engines together with the values it uses: `capture((x) => x * k, { k })`. Values are
 * cloned at each call, like arguments. Captured functions are sent too, with their own captures. A local call of the
 * returned function calls `fn`.
 * @throws {UsageError} when a name is not a valid identifier, or the function captures itself
 */
export function capture<F extends AnyFunction>(fn: F, captures: Readonly<Record<string, unknown>>): F {
  if (typeof fn !== 'function') throw new UsageError(`capture expects a function, got ${typeof fn}`);
  const inner = recipeOf(fn);
  if (inner.kind === 'module') {
    throw new UsageError(
      `capture cannot bind names to "${inner.name}", because a module function has its own scope`,
    );
  }
  const bound = new Map([...inner.captures, ...Object.entries(captures)]);
  for (const [name, value] of bound) {
    if (!isBindable(name))
      throw new UsageError(`a captured name must be a valid identifier, got ${JSON.stringify(name)}`);
    if (value === fn || value === inner.fn) {
      throw new UsageError(
        `the function captures itself as "${name}"; write it as a named function expression instead: function ${name}(…) { … }`,
      );
    }
  }
  const wrapper = function (this: unknown, ...args: never[]): unknown {
    return fn.apply(this, args);
  };
  Object.defineProperty(wrapper, 'name', { value: fn.name, configurable: true });
  return withRecipe(wrapper as F, { kind: 'source', fn: inner.fn, captures: bound });
}
