import { quietly } from './process-warnings.js';

// Code that V8 terminates inside a callback leaves its frames on Node's async stack. Node takes that for corruption
// and aborts, unless told otherwise: by a flag (see KernelProcess) where no async hooks are in use, and where they
// are, as with AsyncLocalStorage, by no documented means. So the two fields of its internals that the checks read are
// set aside until the stack is clear again. Where Node has no such internals, nothing is done.

interface AsyncWrap {
  readonly async_hook_fields: Uint32Array;
  readonly constants: { readonly kCheck: number; readonly kTotals: number };
}

const SET_ASIDE = 'ipyparallel: set the async stack aside';
const CLEAR = Symbol('clear the async stack');

/** What the guard thread evaluates in the main thread, inside the code that it is about to terminate. */
export const SET_ASIDE_EXPRESSION: string = `globalThis[Symbol.for(${JSON.stringify(SET_ASIDE)})]?.()`;

let hooks: AsyncWrap | undefined;
let totals = 0;

/** Makes {@link SET_ASIDE_EXPRESSION} work in this thread. */
export async function prepareAsyncStack(): Promise<void> {
  hooks = await quietly(asyncWrap);
  Object.defineProperty(globalThis, Symbol.for(SET_ASIDE), { value: setAside });
}

/** Clears the async stack after code was terminated, and lets async hooks work again. */
export function clearAsyncStack(): void {
  // Only an uncaught exception makes Node clear the stack.
  setImmediate(() => {
    setImmediate(restore);
    throw CLEAR;
  });
}

/** Whether an uncaught exception is the one that {@link clearAsyncStack} throws. */
export function isClearing(error: unknown): boolean {
  return error === CLEAR;
}

function setAside(): void {
  if (hooks === undefined) return;
  const { async_hook_fields: fields, constants } = hooks;
  fields[constants.kCheck] = 0;
  totals += fields[constants.kTotals] ?? 0;
  fields[constants.kTotals] = 0;
}

function restore(): void {
  if (hooks === undefined) return;
  const { async_hook_fields: fields, constants } = hooks;
  fields[constants.kTotals] = (fields[constants.kTotals] ?? 0) + totals;
  totals = 0;
}

function asyncWrap(): AsyncWrap | undefined {
  try {
    const { binding } = process as { readonly binding?: (name: string) => unknown };
    const found = binding?.('async_wrap') as Partial<AsyncWrap> | undefined;
    const { async_hook_fields: fields, constants } = found ?? {};
    if (!(fields instanceof Uint32Array) || constants === undefined) return undefined;
    const known = [constants.kCheck, constants.kTotals].every(
      (at) => Number.isInteger(at) && at < fields.length,
    );
    return known ? { async_hook_fields: fields, constants } : undefined;
  } catch {
    return undefined;
  }
}
