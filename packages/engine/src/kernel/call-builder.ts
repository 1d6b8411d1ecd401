import { Script } from 'node:vm';
import type { TaskContext } from '@ipyparallel-js/protocol';
import { type DecodedCall, getOwn, isBindable, type WireFunction } from '@ipyparallel-js/protocol/internal';
import { rewriteDynamicImports } from './dynamic-imports.js';
import type { Completion, Evaluator } from './evaluator.js';
import type { ModuleLoader } from './module-loader.js';

type AnyFunction = (...args: unknown[]) => unknown;

/** Creates the functions of a call, captured ones first. */
export class CallBuilder {
  readonly #evaluator: Evaluator;
  readonly #modules: ModuleLoader;

  constructor(evaluator: Evaluator, modules: ModuleLoader) {
    this.#evaluator = evaluator;
    this.#modules = modules;
  }

  /**
   * Calls `onBuilt` with a factory of the called function, or `onFailed` with the completion of the code that failed.
   * The evaluator must call the factory, because it may run the task's code. Like the evaluator, calls neither when the
   * code was terminated after its first await.
   * @throws {SyntaxError} when a captured name is not an identifier.
   */
  build(
    call: DecodedCall,
    scriptName: string,
    task: TaskContext,
    onBuilt: (make: () => AnyFunction) => void,
    onFailed: (completion: Completion) => void,
  ): void {
    // Checked before anything runs: an error thrown in a completion callback would not end the job.
    const names = call.functions.flatMap((wire) =>
      Object.keys('module' in wire ? {} : (wire.captures ?? {})),
    );
    const invalidName = names.find((name) => !isBindable(name));
    if (invalidName !== undefined)
      throw new SyntaxError(`cannot bind ${JSON.stringify(invalidName)}: it is not an identifier`);
    const scripts = call.functions.map((_, index) =>
      index === call.functions.length - 1 ? scriptName : scriptName.replace(/\.js$/, `-helper-${index}.js`),
    );
    const functions: AnyFunction[] = [];
    const captureValue =
      (index: number) =>
      (name: string, ref: unknown): unknown => {
        if (ref === 'task') return task;
        return typeof ref === 'number' ? functions[ref] : getOwn(call.values[index] ?? {}, name);
      };
    const compiled = compileAll(call.functions, scripts);
    if (compiled !== undefined) {
      onBuilt(() => {
        for (const [index, { script, captures }] of compiled.entries()) {
          const result: unknown = script.runInThisContext();
          const values = captures.map(([name, ref]) => captureValue(index)(name, ref));
          functions.push(asFunction(captures.length === 0 ? result : asFunction(result)(...values)));
        }
        return asFunction(functions.at(-1));
      });
      return;
    }
    const buildNext = (): void => {
      const index = functions.length;
      const wire = call.functions[index];
      if (wire === undefined) {
        onBuilt(() => asFunction(functions.at(-1)));
        return;
      }
      this.#buildOne(wire, scripts[index] ?? scriptName, captureValue(index), (completion) => {
        if (completion.kind !== 'value') onFailed(completion);
        else if (typeof completion.value !== 'function') {
          onFailed({ kind: 'thrown', thrown: notFunctionError(completion.value), location: undefined });
        } else {
          functions.push(completion.value as AnyFunction);
          buildNext();
        }
      });
    };
    buildNext();
  }

  #buildOne(
    wire: WireFunction,
    scriptName: string,
    captureValue: (name: string, ref: unknown) => unknown,
    done: (completion: Completion) => void,
  ): void {
    if ('module' in wire) {
      this.#evaluator.call(() => this.#modules.importFunction(wire.module, wire.name), done);
      return;
    }
    const { code, captures } = sourceOf(wire);
    if (captures.length === 0) {
      this.#evaluator.evaluate(code, scriptName, done);
      return;
    }
    const values = captures.map(([name, ref]) => captureValue(name, ref));
    this.#evaluator.evaluate(code, scriptName, (completion) => {
      if (completion.kind !== 'value') done(completion);
      // The code is an arrow function, so its value is a function.
      else this.#evaluator.call(() => (completion.value as AnyFunction)(...values), done);
    });
  }
}

type SourceFunction = Exclude<WireFunction, { readonly module: string }>;

interface CompiledFunction {
  readonly script: Script;
  readonly captures: readonly (readonly [string, unknown])[];
}

/** The code of a function. Captures are the parameters of an arrow function around it. */
function sourceOf(wire: SourceFunction): {
  readonly code: string;
  readonly captures: readonly (readonly [string, unknown])[];
} {
  const source = `(${rewriteDynamicImports(wire.source)}\n)`;
  const captures = Object.entries(wire.captures ?? {});
  const names = captures.map(([name]) => name);
  return { code: captures.length === 0 ? source : `((${names.join(', ')}) => ${source})`, captures };
}

/**
 * Compiles all functions at once, which costs far less than evaluating them through the inspector. Returns undefined
 * when one is a module's function or does not compile: the inspector then reports the error.
 */
function compileAll(
  functions: readonly WireFunction[],
  scripts: readonly string[],
): CompiledFunction[] | undefined {
  const compiled: CompiledFunction[] = [];
  for (const [index, wire] of functions.entries()) {
    if ('module' in wire) return undefined;
    const { code, captures } = sourceOf(wire);
    const filename = scripts[index] ?? '';
    try {
      // Overrides a sourceURL comment inside the function.
      compiled.push({ script: new Script(`${code}\n//# sourceURL=${filename}`, { filename }), captures });
    } catch {
      return undefined;
    }
  }
  return compiled;
}

function asFunction(value: unknown): AnyFunction {
  if (typeof value !== 'function') throw notFunctionError(value);
  return value as AnyFunction;
}

const notFunctionError = (value: unknown): TypeError =>
  new TypeError(
    `the source of a called function must evaluate to a function, got ${value === null ? 'null' : typeof value}`,
  );
