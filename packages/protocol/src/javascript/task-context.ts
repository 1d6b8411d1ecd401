/** The progress of a task: a fraction from 0 to 1, or a number of completed items with an optional total. */
export type TaskProgress =
  | number
  | { readonly done: number; readonly total?: number; readonly [key: string]: unknown };

/** The running task, as seen by its code on a JavaScript engine. */
export interface TaskContext {
  /** The id of the task; empty if no task is running. */
  readonly msgId: string;
  /**
   * Aborted when the task is aborted by `ar.abort()` or interrupted. A task that ends because of it is `aborted`. Code that
   * never yields to the event loop detects the abort when it reads `task.signal.aborted` again.
   */
  readonly signal: AbortSignal;
  /** Reports progress. Calls may be frequent: only the latest value is sent, at most every 50 ms. */
  progress(value: TaskProgress): void;
  /**
   * Publishes data by name to the client while the task runs, like `publish_data` in Python. Only the latest value of
   * each name within 50 ms is sent.
   * @throws {Error} when a value cannot be cloned
   */
  publish(data: Readonly<Record<string, unknown>>): void;
}

/** The global `ipyparallel` of code on a JavaScript engine. */
export interface EngineGlobal {
  readonly task: TaskContext;
}

// A registered symbol, because code on the engine may load this module from another path than the engine does.
const CONTEXT_KEY = Symbol.for('ipyparallel-js: the running task');

const NEVER_ABORTED = new AbortController().signal;

/** The task context if no task is running: in a local call of the function, and between tasks. */
export const NO_TASK: TaskContext = {
  msgId: '',
  signal: NEVER_ABORTED,
  progress: () => {},
  publish: () => {},
};

/** Sets the task that {@link task} refers to in this process. Called by the engine. */
export function setCurrentTask(current: TaskContext): void {
  Object.defineProperty(globalThis, CONTEXT_KEY, { value: current, configurable: true });
}

function current(): TaskContext {
  return (Reflect.get(globalThis, CONTEXT_KEY) as TaskContext | undefined) ?? NO_TASK;
}

/**
 * The running task, for modules that engines import and, if captured, for functions:
 * `capture(async () => { task.progress(0.5) }, { task })`. Outside an engine its methods do nothing.
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
