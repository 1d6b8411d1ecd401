const BUSY_CHECK_KEY = 'ipyparallel: is busy';

/** The guard thread evaluates this expression in the main thread; false if the main thread runs no other code. */
export const BUSY_EXPRESSION: string = `globalThis[Symbol.for(${JSON.stringify(BUSY_CHECK_KEY)})]?.()`;

/** The number of frames when the inspector evaluates the expression in an idle thread: the expression and {@link isBusy}. */
const IDLE_FRAMES = 2;

/** Makes {@link BUSY_EXPRESSION} work in this thread. */
export function installBusyCheck(): void {
  Object.defineProperty(globalThis, Symbol.for(BUSY_CHECK_KEY), { value: isBusy });
}

/** Whether other code is on the stack: the inspector interrupts running code, or evaluates between two callbacks. */
function isBusy(): boolean {
  const { prepareStackTrace, stackTraceLimit } = Error;
  try {
    Error.prepareStackTrace = (_error, frames) => frames.length;
    Error.stackTraceLimit = IDLE_FRAMES + 1;
    const holder: { stack?: unknown } = {};
    Error.captureStackTrace(holder);
    return holder.stack !== IDLE_FRAMES;
  } catch {
    // The user's code has made Error read-only.
    return true;
  } finally {
    Error.prepareStackTrace = prepareStackTrace;
    Error.stackTraceLimit = stackTraceLimit;
  }
}
