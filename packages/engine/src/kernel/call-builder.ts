import { Script } from 'node:vm';
import type { TaskContext } from '@ipyparallel-js/protocol';
import { type DecodedCall, getOwn, isBindable, type WireFunction } from '@ipyparallel-js/protocol/internal';
import type { Completion, Evaluator } from './evaluator.js';
import { rewriteDynamicImports } from './imports.js';
import type { ModuleLoader } from './modules.js';

type Built = (...args: unknown[]) => unknown;

/** Makes the functions of a call, captured ones first. */
export class CallBuilder {
  readonly #evaluator: Evaluator;
  readonly #modules: ModuleLoader;

  constructor(evaluator: Evaluator, modules: ModuleLoader) {
    this.#evaluator = evaluator;
    this.#modules = modules;
  }

  /**
   * Gives what makes the called function, which the evaluator is to call as it may run the task's code; or the completion
   * that none came of. As with the evaluator, never anything when the code was terminated after its first await.
   * @throws SyntaxError for a captured name that is none
   */
  build(
    call: DecodedCall,
    scriptName: string,
    task: TaskContext,
    done: (make: () => Built) => void,
    failed: (completion: Completion) => void,
  ): void {
    // Before anything runs: what is thrown in a completion would end no job.
    const names = call.functions.flatMap((wire) =>
      Object.keys('module' in wire ? {} : (wire.captures ?? {})),
    );
    const unfit = names.find((name) => !isBindable(name));
    if (unfit !== undefined) throw new SyntaxError(`cannot bind ${JSON.stringify(unfit)}: it is no name`);
    const scripts = call.functions.map((_, place) =>
      place === call.functions.length - 1 ? scriptName : scriptName.replace(/\.js$/, `-helper-${place}.js`),
    );
    const built: Built[] = [];
    const boundAt =
      (place: number) =>
      (name: string, ref: unknown): unknown => {
        if (ref === 'task') return task;
        return typeof ref === 'number' ? built[ref] : getOwn(call.values[place] ?? {}, name);
      };
    const compiled = compileAll(call.functions, scripts);
    if (compiled !== undefined) {
      done(() => {
        for (const [place, { script, captures }] of compiled.entries()) {
          const made: unknown = script.runInThisContext();
          const values = captures.map(([name, ref]) => boundAt(place)(name, ref));
          built.push(asFunction(captures.length === 0 ? made : asFunction(made)(...values)));
        }
        return asFunction(built.at(-1));
      });
      return;
    }
    const next = (): void => {
      const place = built.length;
      const wire = call.functions[place];
      if (wire === undefined) {
        done(() => asFunction(built.at(-1)));
        return;
      }
      this.#one(wire, scripts[place] ?? scriptName, boundAt(place), (completion) => {
        if (completion.kind !== 'value') failed(completion);
        else if (typeof completion.value !== 'function') {
          failed({ kind: 'thrown', thrown: noFunction(), location: undefined });
        } else {
          built.push(completion.value as Built);
          next();
        }
      });
    };
    next();
  }

  #one(
    wire: WireFunction,
    scriptName: string,
    bound: (name: string, ref: unknown) => unknown,
    done: (completion: Completion) => void,
  ): void {
    if ('module' in wire) {
      this.#evaluator.call(() => this.#modules.functionOf(wire.module, wire.name), done);
      return;
    }
    const { code, captures } = textOf(wire);
    if (captures.length === 0) {
      this.#evaluator.evaluate(code, scriptName, done);
      return;
    }
    const values = captures.map(([name, ref]) => bound(name, ref));
    this.#evaluator.evaluate(code, scriptName, (completion) => {
      if (completion.kind !== 'value') done(completion);
      // What the evaluator gives for an arrow function is one.
      else this.#evaluator.call(() => (completion.value as Built)(...values), done);
    });
  }
}

type SourceFunction = Exclude<WireFunction, { readonly module: string }>;

interface Compiled {
  readonly script: Script;
  readonly captures: readonly (readonly [string, unknown])[];
}

/** The code that gives a function; one with captures comes from a function of these. */
function textOf(wire: SourceFunction): {
  readonly code: string;
  readonly captures: readonly (readonly [string, unknown])[];
} {
  const source = `(${rewriteDynamicImports(wire.source)}\n)`;
  const captures = Object.entries(wire.captures ?? {});
  const names = captures.map(([name]) => name);
  return { code: captures.length === 0 ? source : `((${names.join(', ')}) => ${source})`, captures };
}

/**
 * Compiles all functions at once, which costs far less than the inspector's way; undefined where one is not a text that
 * compiles: then that way finds out what is to be said of it.
 */
function compileAll(functions: readonly WireFunction[], scripts: readonly string[]): Compiled[] | undefined {
  const compiled: Compiled[] = [];
  for (const [place, wire] of functions.entries()) {
    if ('module' in wire) return undefined;
    const { code, captures } = textOf(wire);
    const filename = scripts[place] ?? '';
    try {
      // A comment of the same kind in the function would else name the script.
      compiled.push({ script: new Script(`${code}\n//# sourceURL=${filename}`, { filename }), captures });
    } catch {
      return undefined;
    }
  }
  return compiled;
}

function asFunction(value: unknown): Built {
  if (typeof value !== 'function') throw noFunction();
  return value as Built;
}

const noFunction = (): TypeError => new TypeError('the call does not carry a function');
