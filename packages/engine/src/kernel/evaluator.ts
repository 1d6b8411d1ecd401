import { Session } from 'node:inspector';
import { isThenable } from './thenable.js';

/** How an evaluation ended. */
export type Completion =
  | { readonly kind: 'value'; readonly value: unknown }
  /** `location` is the position of a syntax error, `script:line:column`. */
  | { readonly kind: 'thrown'; readonly thrown: unknown; readonly location: string | undefined }
  | { readonly kind: 'terminated' }
  /** V8 returned an error, for example for a promise that was garbage-collected before it settled. */
  | { readonly kind: 'refused'; readonly reason: string };

interface RemoteObject {
  readonly type: string;
  readonly value?: unknown;
  readonly unserializableValue?: string;
  readonly objectId?: string;
}

interface EvaluationReply {
  readonly result: RemoteObject;
  readonly exceptionDetails?: {
    readonly exception?: RemoteObject;
    readonly lineNumber: number;
    readonly columnNumber: number;
  };
}

interface Holder {
  value: unknown;
  call: () => unknown;
}

const JOB_OBJECTS = 'job';

/** The inspector's error for code that awaits something while the process ends. The engine reports that end. */
const PROCESS_ENDS = /context was destroyed/i;

/**
 * Runs code in this process's context through V8's inspector in REPL mode: declarations persist and may be repeated,
 * `await` works at top level, and the last expression is the value. Code that an interrupt terminates ends at this
 * boundary instead of somewhere in Node's event loop.
 */
export class Evaluator {
  readonly #session = new Session();
  readonly #holder: Holder = { value: undefined, call: () => undefined };
  readonly #holderId: string;
  #hasRemoteObjects = false;

  constructor() {
    this.#session.connect();
    // The inspector refers to objects by id. Values pass through one holder, whose id is requested once.
    const key = '__ipyparallel_holder';
    Object.defineProperty(globalThis, key, { value: this.#holder, configurable: true });
    let id: string | undefined;
    this.#post('Runtime.evaluate', { expression: key, objectGroup: 'engine' }, (_error, reply) => {
      id = reply?.result.objectId;
    });
    Reflect.deleteProperty(globalThis, key);
    if (id === undefined) throw new Error("V8's inspector cannot evaluate code in this process");
    this.#holderId = id;
  }

  /**
   * Evaluates a script and waits for its top-level awaits. Calls `done` once, or never when the code was terminated after
   * its first await, or the process ends.
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
      (error, reply) => done(this.#completion(error, reply, scriptName)),
    );
  }

  /** Calls a function and waits for its promise, if it returns one. Calls `done` like {@link evaluate}. */
  call(fn: () => unknown, done: (completion: Completion) => void): void {
    let value: unknown;
    // The value does not pass through the inspector, which would cost one request to read it and one to release it.
    const store = (returned: unknown): void => {
      value = returned;
    };
    this.#holder.call = () => {
      const returned = fn();
      return isThenable(returned) ? Promise.resolve(returned).then(store) : store(returned);
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
      (error, reply) => {
        const completion = this.#completion(error, reply, undefined);
        done(completion.kind === 'value' ? { kind: 'value', value } : completion);
      },
    );
  }

  /** Releases the values of all evaluations. */
  release(): void {
    this.#holder.value = undefined;
    this.#holder.call = () => undefined;
    if (!this.#hasRemoteObjects) return;
    this.#hasRemoteObjects = false;
    this.#post('Runtime.releaseObjectGroup', { objectGroup: JOB_OBJECTS }, () => {});
  }

  #completion(
    error: Error | null,
    reply: EvaluationReply | undefined,
    scriptName: string | undefined,
  ): Completion {
    if (error !== null || reply === undefined) {
      const reason = String(error?.message);
      return /terminated/i.test(reason) ? { kind: 'terminated' } : { kind: 'refused', reason };
    }
    const { result, exceptionDetails } = reply;
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
    if (objectId !== undefined) this.#hasRemoteObjects = true;
    const argument = objectId !== undefined ? { objectId } : { unserializableValue };
    this.#post(
      'Runtime.callFunctionOn',
      {
        objectId: this.#holderId,
        functionDeclaration: 'function (value) { this.value = value; }',
        arguments: [argument],
        silent: true,
      },
      () => {},
    );
    const { value: resolved } = this.#holder;
    this.#holder.value = undefined;
    return resolved;
  }

  #post(
    method: string,
    params: object,
    done: (error: Error | null, reply: EvaluationReply | undefined) => void,
  ): void {
    this.#session.post(method, params, (error, reply) => {
      if (error !== null && PROCESS_ENDS.test(error.message)) return;
      done(error, reply as EvaluationReply | undefined);
    });
  }
}
