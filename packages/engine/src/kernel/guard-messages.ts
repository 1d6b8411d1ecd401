import type { Unregistration } from '../kernel-channel/messages.js';

// Messages between the two threads of the kernel process: the main thread runs the code, the guard thread watches the
// engine.

/** A message from the guard thread to the main thread. */
export type GuardNotice = 'interrupt' | 'terminated' | 'abort';

/** The main thread's reply to an interrupt. */
export const INTERRUPT_ACKNOWLEDGED = 'acknowledged';

/** A message from the main thread to the guard thread. */
export type GuardRequest = typeof INTERRUPT_ACKNOWLEDGED | Unregistration;

export interface GuardData {
  /** Shared memory: the number of the job that the engine aborted last. */
  readonly aborts: Int32Array;
}
