import { UsageError } from '../common/errors.js';
import { callableExpression, dedent } from './py-source.js';

/** A Python function as source text, which the engine evaluates; see {@link py}. `Result`, its return type, is not checked. */
export class PyCallable<Result = unknown> {
  /** The Python source, without the indentation common to all lines. */
  readonly source: string;
  declare readonly _result?: Result;

  constructor(source: string) {
    this.source = checkText(source, 'py');
  }

  /** The Python expression that evaluates to the function. */
  get expression(): string {
    return callableExpression(this.source);
  }

  toString(): string {
    return `<Python ${JSON.stringify(this.source)}>`;
  }
}

/** A name or other expression that an engine evaluates in its namespace; see {@link ref}. */
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
  if (typeof source !== 'string')
    throw new UsageError(`${what} expects Python source as a string, got ${typeof source}`);
  if (source.includes('\0')) throw new UsageError(`Python source must not contain NUL characters`);
  const text = dedent(source);
  if (text === '') throw new UsageError(`${what} expects Python source, got an empty string`);
  return text;
}

/**
 * A Python function for `apply` and `map`: an expression (`` py`lambda x: x**2` ``), a name (`py('square')`), a dotted
 * name (`py('math.factorial')`, imported if the engine's namespace lacks it) or a block that ends with a `def`. The engine
 * evaluates it once per task. Templates keep backslashes for Python and accept no interpolated values.
 */
export function py<Result = unknown>(source: string): PyCallable<Result>;
export function py<Result = unknown>(template: TemplateStringsArray): PyCallable<Result>;
export function py<Result = unknown>(
  source: string | TemplateStringsArray,
  ...values: readonly unknown[]
): PyCallable<Result> {
  if (values.length > 0) {
    throw new UsageError(
      'py`…` accepts no interpolated values; pass values as arguments of the call, or call py(text) with text built from them',
    );
  }
  return new PyCallable<Result>(typeof source === 'string' ? source : (source?.raw?.[0] ?? ''));
}

/** Refers to a name in the engine's namespace as an argument: `ref('x')`. Mirrors `Reference` of ipyparallel. */
export function ref(expression: string): PyReference {
  return new PyReference(expression);
}
