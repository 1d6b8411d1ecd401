const IS_BUSY = 'ipyparallel: is busy';

/** The guard thread evaluates this in the main thread; false means that the main thread runs nothing else. */
export const BUSY_EXPRESSION: string = `globalThis[Symbol.for(${JSON.stringify(IS_BUSY)})]?.()`;

/** The frames of an evaluation by the inspector in an idle thread: the expression and the function that it calls. */
const IDLE_FRAMES = 2;

/** Makes {@link BUSY_EXPRESSION} work in this thread. */
export function installBusyCheck(): void {
  Object.defineProperty(globalThis, Symbol.for(IS_BUSY), { value: isBusy });
}

/** Whether code runs below this call: the inspector interrupts running code, or evaluates between two callbacks. */
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
