/** What a task is told of how far it is: a part between 0 and 1, or how many of how many. */
export type TaskProgress =
  | number
  | { readonly done: number; readonly total?: number; readonly [key: string]: unknown };

/** What the code of a task sees of itself while it runs on a JavaScript engine. */
export interface TaskContext {
  /** The task's id; empty where no task runs. */
  readonly msgId: string;
  /**
   * Aborted when the task is: by `ar.abort()`, or by an interrupt. A task that ends by it is `aborted`. Also code that
   * never yields sees it, when it asks `task.signal.aborted` anew each time.
   */
  readonly signal: AbortSignal;
  /** Tells how far the task is. May be called as often as one likes: the latest leaves at most every 50 ms. */
  progress(value: TaskProgress): void;
  /**
   * Publishes data by name, which the client reads while the task runs; as with Python's `publish_data`. Of a name
   * published several times within 50 ms the last value leaves. @throws when a value cannot be cloned
   */
  publish(data: Readonly<Record<string, unknown>>): void;
}

/** What a JavaScript engine offers to the code that it runs, as the global `ipyparallel`. */
export interface EngineGlobal {
  readonly task: TaskContext;
}

// Registered: code on the engine may have this module from another place than the engine has.
const CURRENT = Symbol.for('ipyparallel-js: the running task');

const NEVER = new AbortController().signal;

/** What the code sees where no task runs: in a program that calls the function itself, and between tasks. */
export const NO_TASK: TaskContext = {
  msgId: '',
  signal: NEVER,
  progress: () => {},
  publish: () => {},
};

/** Says which task runs in this process, for {@link task}; the engine's affair. */
export function setCurrentTask(current: TaskContext): void {
  Object.defineProperty(globalThis, CURRENT, { value: current, configurable: true });
}

function current(): TaskContext {
  return (Reflect.get(globalThis, CURRENT) as TaskContext | undefined) ?? NO_TASK;
}

/**
 * The running task, in modules that engines import and, captured, in functions:
 * `capture(async () => { task.progress(0.5) }, { task })`. Where no engine runs the code it does nothing.
 */
export const task: TaskContext = Object.freeze({
  get msgId() {
    return current().msgId;
  },
  get signal() {
    return current().signal;
  },
  progress: (value: TaskProgress) => current().progress(value),
  publish: (data: Readonly<Record<string, unknown>>) => current().publish(data),
});
