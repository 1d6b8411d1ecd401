import type { Unregistration } from '../kernel-channel/messages.js';

// Messages between the two threads of the kernel process: the main thread runs the code, the guard thread watches the
// engine.

/** A message from the guard thread to the main thread. */
export type GuardNotice =
  /** Interrupts a job. The guard repeats it until the main thread acknowledges `interrupt`, the number of this interrupt. */
  | { readonly type: 'interrupt'; readonly interrupt: number; readonly job: number }
  /** An interrupt was acknowledged and can no longer terminate code. `hasTerminated`: it has terminated running code. */
  | { readonly type: 'interruptEnded'; readonly hasTerminated: boolean }
  | { readonly type: 'abort' };

/** The main thread's reply to an interrupt. */
export interface Acknowledgement {
  readonly interrupt: number;
}

export interface GuardData {
  /** Shared memory: the number of the job that the engine aborted last. */
  readonly aborts: Int32Array;
  readonly unregistration: Unregistration;
}
