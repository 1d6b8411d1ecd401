import type { TaskContext } from '@ipyparallel-js/protocol';
import { type DecodedCall, isBindable, own, type WireFunction } from '@ipyparallel-js/protocol/internal';
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
   * Gives the called function, or the completion that none came of. As with the evaluator, never anything when the
   * code was terminated after its first await. @throws SyntaxError for a captured name that is none
   */
  build(
    call: DecodedCall,
    scriptName: string,
    task: TaskContext,
    done: (completion: Completion) => void,
  ): void {
    // Before anything runs: what is thrown in a completion would end no job.
    const names = call.functions.flatMap((wire) =>
      Object.keys('module' in wire ? {} : (wire.captures ?? {})),
    );
    const unfit = names.find((name) => !isBindable(name));
    if (unfit !== undefined) throw new SyntaxError(`cannot bind ${JSON.stringify(unfit)}: it is no name`);
    const built: Built[] = [];
    const next = (): void => {
      const place = built.length;
      const wire = call.functions[place];
      if (wire === undefined) {
        done({ kind: 'value', value: built.at(-1) });
        return;
      }
      const script =
        place === call.functions.length - 1 ? scriptName : scriptName.replace(/\.js$/, `-helper-${place}.js`);
      this.#one(
        wire,
        script,
        (name, ref) => {
          if (ref === 'task') return task;
          return typeof ref === 'number' ? built[ref] : own(call.values[place] ?? {}, name);
        },
        (completion) => {
          if (completion.kind !== 'value') done(completion);
          else if (typeof completion.value !== 'function') {
            done({
              kind: 'thrown',
              thrown: new TypeError('the call does not carry a function'),
              location: undefined,
            });
          } else {
            built.push(completion.value as Built);
            next();
          }
        },
      );
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
    const source = `(${rewriteDynamicImports(wire.source)}\n)`;
    const captures = Object.entries(wire.captures ?? {});
    if (captures.length === 0) {
      this.#evaluator.evaluate(source, scriptName, done);
      return;
    }
    const names = captures.map(([name]) => name);
    const values = captures.map(([name, ref]) => bound(name, ref));
    this.#evaluator.evaluate(`((${names.join(', ')}) => ${source})`, scriptName, (completion) => {
      if (completion.kind !== 'value') done(completion);
      // What the evaluator gives for an arrow function is one.
      else this.#evaluator.call(() => (completion.value as Built)(...values), done);
    });
  }
}
