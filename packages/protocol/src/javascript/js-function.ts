import { UsageError } from '../common/errors.js';
import { isBindable } from './function-source.js';

/** Any function. */
export type AnyFunction = (...args: never[]) => unknown;

/**
 * What a task gives whose function gives `R`: what a promise resolves to; of a generator what it returns or, where that
 * is nothing, the list of what it yields.
 */
export type TaskResult<R> =
  Awaited<R> extends Generator<infer Y, infer Z> | AsyncGenerator<infer Y, infer Z>
    ? // biome-ignore lint/suspicious/noConfusingVoidType: a generator that returns nothing has it
      [Z] extends [void]
      ? Awaited<Y>[]
      : Awaited<Z>
    : Awaited<R>;

/** How an engine comes by a function. */
export type Recipe =
  /** Its source, with names bound around it. */
  | { readonly kind: 'source'; readonly fn: AnyFunction; readonly captures: ReadonlyMap<string, unknown> }
  /** An export of a module that the engine imports. */
  | { readonly kind: 'module'; readonly module: string; readonly name: string };

// Registered, so that it holds across copies of this package in one program.
const RECIPE = Symbol.for('ipyparallel-js: recipe of a function');

/** How an engine is to come by this function: by its source alone, unless it was made to say otherwise. */
export function recipeOf(fn: AnyFunction): Recipe {
  const recipe: unknown = Object.hasOwn(fn, RECIPE) ? Reflect.get(fn, RECIPE) : undefined;
  return (recipe as Recipe | undefined) ?? { kind: 'source', fn, captures: new Map() };
}

/** Gives a function a recipe. */
export function withRecipe<F extends AnyFunction>(fn: F, recipe: Recipe): F {
  Object.defineProperty(fn, RECIPE, { value: recipe });
  return fn;
}

/**
 * The function with names that it needs on the engine: `capture((x) => x * k, { k })`. A function travels as its
 * source; captured values are bound around it, cloned as arguments are at each call. A captured function travels as
 * source too, with its own captures; so do those of `fromModule`. Called here, it is the function itself.
 * @throws UsageError for a name that cannot be bound, or a function that captures itself
 */
export function capture<F extends AnyFunction>(fn: F, captures: Readonly<Record<string, unknown>>): F {
  if (typeof fn !== 'function') throw new UsageError(`capture takes a function, not ${typeof fn}`);
  const inner = recipeOf(fn);
  if (inner.kind === 'module') {
    throw new UsageError(`the function "${inner.name}" of a module has its own scope and takes no captures`);
  }
  const bound = new Map([...inner.captures, ...Object.entries(captures)]);
  for (const [name, value] of bound) {
    if (!isBindable(name)) throw new UsageError(`cannot capture ${JSON.stringify(name)}: it is no name`);
    if (value === fn || value === inner.fn) {
      throw new UsageError(
        `the function captures itself as "${name}"; write it as a function expression, function ${name}(…) { … }, which knows its own name`,
      );
    }
  }
  const here = function (this: unknown, ...args: never[]): unknown {
    return fn.apply(this, args);
  };
  Object.defineProperty(here, 'name', { value: fn.name, configurable: true });
  return withRecipe(here as F, { kind: 'source', fn: inner.fn, captures: bound });
}
