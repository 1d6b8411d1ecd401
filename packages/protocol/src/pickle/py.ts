import { UsageError } from '../common/errors.js';
import { callableExpression, dedent } from './py-source.js';

/**
 * A Python function, written here and made in the engine: see {@link py}. `Result` is the type of what it returns,
 * on the caller's word.
 */
export class PyCallable<Result = unknown> {
  /** The Python text, without the indentation that all of its lines share. */
  readonly source: string;
  declare readonly _result?: Result;

  constructor(source: string) {
    this.source = checkText(source, 'py');
  }

  /** What the engine evaluates to have the function. */
  get expression(): string {
    return callableExpression(this.source);
  }

  toString(): string {
    return `<Python ${JSON.stringify(this.source)}>`;
  }
}

/** A name, or any expression, that an engine evaluates in its namespace: see {@link ref}. */
export class PyReference {
  readonly expression: string;

  constructor(expression: string) {
    this.expression = checkText(expression, 'ref').trim();
  }

  toString(): string {
    return `<Python reference ${JSON.stringify(this.expression)}>`;
  }
}

function checkText(source: unknown, what: string): string {
  if (typeof source !== 'string') throw new UsageError(`${what} takes Python as text, not ${typeof source}`);
  if (source.includes('\0')) throw new UsageError(`Python text cannot contain NUL characters`);
  const text = dedent(source);
  if (text === '') throw new UsageError(`${what} takes Python as text; this is empty`);
  return text;
}

/**
 * A Python function for `apply` and `map`: an expression (`` py`lambda x: x**2` ``), the name of one (`py('square')`),
 * a dotted name (`py('math.factorial')`, imported where the engine does not have it) or a block that ends with a `def`.
 * It is made in the engine's namespace, once per task. Backslashes in a template are Python's. Values go in as arguments.
 */
export function py<Result = unknown>(source: string): PyCallable<Result>;
export function py<Result = unknown>(template: TemplateStringsArray): PyCallable<Result>;
export function py<Result = unknown>(
  source: string | TemplateStringsArray,
  ...values: readonly unknown[]
): PyCallable<Result> {
  if (values.length > 0) {
    throw new UsageError(
      'py takes no interpolated values: give values as arguments of the call, or build the text yourself and call py(text)',
    );
  }
  return new PyCallable<Result>(typeof source === 'string' ? source : (source?.raw?.[0] ?? ''));
}

/** What stands under a name in the engine's namespace, as an argument: `ref('x')`; mirrors ipyparallel `Reference`. */
export function ref(expression: string): PyReference {
  return new PyReference(expression);
}
