import { Session } from 'node:inspector';
import { isThenable } from './thenable.js';

/** How an evaluation ended. */
export type Completion =
  | { readonly kind: 'value'; readonly value: unknown }
  /** `location` is where a syntax error was found, `script:line:column`. */
  | { readonly kind: 'thrown'; readonly thrown: unknown; readonly location: string | undefined }
  | { readonly kind: 'terminated' }
  /** V8 gave up, for example on a promise that was garbage-collected before anything settled it. */
  | { readonly kind: 'refused'; readonly reason: string };

interface RemoteObject {
  readonly type: string;
  readonly value?: unknown;
  readonly unserializableValue?: string;
  readonly objectId?: string;
}

interface EvaluationAnswer {
  readonly result: RemoteObject;
  readonly exceptionDetails?: {
    readonly exception?: RemoteObject;
    readonly lineNumber: number;
    readonly columnNumber: number;
  };
}

interface Holder {
  held: unknown;
  call: () => unknown;
}

const JOB_OBJECTS = 'job';

/**
 * Runs code in this process's own context through V8's inspector in REPL mode: declarations persist and may be
 * repeated, `await` works at top level, the last expression is the value. The same boundary makes code that was
 * terminated by an interrupt end here, and not somewhere in Node's event loop.
 */
export class Evaluator {
  readonly #session = new Session();
  readonly #holder: Holder = { held: undefined, call: () => undefined };
  readonly #holderId: string;
  #gaveObjects = false;

  constructor() {
    this.#session.connect();
    // The inspector names objects by ids: one for the holder, through which values pass, is asked for once.
    const key = '__ipyparallel_holder';
    Object.defineProperty(globalThis, key, { value: this.#holder, configurable: true });
    let id: string | undefined;
    this.#post('Runtime.evaluate', { expression: key, objectGroup: 'engine' }, (_error, answer) => {
      id = answer?.result.objectId;
    });
    Reflect.deleteProperty(globalThis, key);
    if (id === undefined) throw new Error('the inspector does not evaluate code');
    this.#holderId = id;
  }

  /**
   * Evaluates a script and, where it awaits at top level, waits for it. `done` is called once, or never when the code
   * was terminated after its first await.
   */
  evaluate(code: string, scriptName: string, done: (completion: Completion) => void): void {
    this.#post(
      'Runtime.evaluate',
      {
        expression: `${code}\n//# sourceURL=${scriptName}`,
        replMode: true,
        awaitPromise: true,
        objectGroup: JOB_OBJECTS,
        silent: true,
      },
      (error, answer) => done(this.#completion(error, answer, scriptName)),
    );
  }

  /** Calls a function and waits for its promise, if it gives one. `done` is called as for {@link evaluate}. */
  call(fn: () => unknown, done: (completion: Completion) => void): void {
    let value: unknown;
    // The value stays on this side: to ask the inspector for it would take a round trip, and another to let go of it.
    const keep = (given: unknown): void => {
      value = given;
    };
    this.#holder.call = () => {
      const given = fn();
      return isThenable(given) ? Promise.resolve(given).then(keep) : keep(given);
    };
    this.#post(
      'Runtime.callFunctionOn',
      {
        objectId: this.#holderId,
        functionDeclaration: 'function () { return this.call(); }',
        awaitPromise: true,
        objectGroup: JOB_OBJECTS,
        silent: true,
      },
      (error, answer) => {
        const completion = this.#completion(error, answer, undefined);
        done(completion.kind === 'value' ? { kind: 'value', value } : completion);
      },
    );
  }

  /** Lets go of every value that evaluations have given. */
  release(): void {
    this.#holder.held = undefined;
    this.#holder.call = () => undefined;
    if (!this.#gaveObjects) return;
    this.#gaveObjects = false;
    this.#post('Runtime.releaseObjectGroup', { objectGroup: JOB_OBJECTS }, () => {});
  }

  #completion(
    error: Error | null,
    answer: EvaluationAnswer | undefined,
    scriptName: string | undefined,
  ): Completion {
    if (error !== null || answer === undefined) {
      const reason = String(error?.message);
      return /terminated/i.test(reason) ? { kind: 'terminated' } : { kind: 'refused', reason };
    }
    const { result, exceptionDetails } = answer;
    if (exceptionDetails === undefined) return { kind: 'value', value: this.#valueOf(result) };
    const { exception, lineNumber, columnNumber } = exceptionDetails;
    return {
      kind: 'thrown',
      thrown: exception === undefined ? undefined : this.#valueOf(exception),
      location: scriptName === undefined ? undefined : `${scriptName}:${lineNumber + 1}:${columnNumber + 1}`,
    };
  }

  #valueOf(remote: RemoteObject): unknown {
    const { objectId, unserializableValue, value } = remote;
    if (objectId === undefined && unserializableValue === undefined) return value;
    if (objectId !== undefined) this.#gaveObjects = true;
    const argument = objectId !== undefined ? { objectId } : { unserializableValue };
    this.#post(
      'Runtime.callFunctionOn',
      {
        objectId: this.#holderId,
        functionDeclaration: 'function (value) { this.held = value; }',
        arguments: [argument],
        silent: true,
      },
      () => {},
    );
    const { held } = this.#holder;
    this.#holder.held = undefined;
    return held;
  }

  #post(
    method: string,
    params: object,
    done: (error: Error | null, answer: EvaluationAnswer | undefined) => void,
  ): void {
    this.#session.post(method, params, (error, answer) =>
      done(error, answer as EvaluationAnswer | undefined),
    );
  }
}
