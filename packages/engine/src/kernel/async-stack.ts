import { withoutProcessWarnings } from './process-warnings.js';

// Code that V8 terminates inside a callback leaves its frames on Node's async stack. Node treats that as corruption and
// aborts the process. A flag turns this check off where no async hooks are in use (see KernelProcess). Where hooks are
// in use, as with AsyncLocalStorage, no documented option exists: this file clears the two internal fields that the
// check reads until the stack is empty again. On a Node without these internals it does nothing.

interface AsyncWrap {
  readonly async_hook_fields: Uint32Array;
  readonly constants: { readonly kCheck: number; readonly kTotals: number };
}

const SUSPEND_HOOKS = 'ipyparallel: suspend async hooks';
const CLEAR_STACK = Symbol('clear the async stack');

/** The guard thread evaluates this in the main thread, inside the code that it is about to terminate. */
export const SUSPEND_HOOKS_EXPRESSION: string = `globalThis[Symbol.for(${JSON.stringify(SUSPEND_HOOKS)})]?.()`;

let hooks: AsyncWrap | undefined;
let totals = 0;

/** Makes {@link SUSPEND_HOOKS_EXPRESSION} work in this thread. */
export async function prepareAsyncStack(): Promise<void> {
  hooks = await withoutProcessWarnings(readAsyncWrap);
  Object.defineProperty(globalThis, Symbol.for(SUSPEND_HOOKS), { value: suspendHooks });
}

/** Clears the async stack after code was terminated, and resumes async hooks. */
export function clearAsyncStack(): void {
  // Node clears the stack only for an uncaught exception.
  setImmediate(() => {
    setImmediate(resumeHooks);
    throw CLEAR_STACK;
  });
}

/** Whether {@link clearAsyncStack} threw this uncaught exception. */
export function isStackClearing(error: unknown): boolean {
  return error === CLEAR_STACK;
}

function suspendHooks(): void {
  if (hooks === undefined) return;
  const { async_hook_fields: fields, constants } = hooks;
  fields[constants.kCheck] = 0;
  totals += fields[constants.kTotals] ?? 0;
  fields[constants.kTotals] = 0;
}

function resumeHooks(): void {
  if (hooks === undefined) return;
  const { async_hook_fields: fields, constants } = hooks;
  fields[constants.kTotals] = (fields[constants.kTotals] ?? 0) + totals;
  totals = 0;
}

function readAsyncWrap(): AsyncWrap | undefined {
  try {
    const { binding } = process as { readonly binding?: (name: string) => unknown };
    const asyncWrap = binding?.('async_wrap') as Partial<AsyncWrap> | undefined;
    const { async_hook_fields: fields, constants } = asyncWrap ?? {};
    if (!(fields instanceof Uint32Array) || constants === undefined) return undefined;
    const valid = [constants.kCheck, constants.kTotals].every(
      (at) => Number.isInteger(at) && at < fields.length,
    );
    return valid ? { async_hook_fields: fields, constants } : undefined;
  } catch {
    return undefined;
  }
}
