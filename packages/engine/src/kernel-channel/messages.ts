import type { Dict } from '@ipyparallel-js/protocol';

// Messages between the engine and its kernel process, over Node's IPC channel (serialization: advanced) and the guard
// pipe.

/** Code to run in the kernel's context. */
export interface ExecuteJob {
  readonly type: 'execute';
  readonly job: number;
  readonly msgId: string;
  readonly code: string;
  readonly silent: boolean;
  /** Expressions to evaluate after the code, by name. */
  readonly userExpressions: Readonly<Record<string, string>>;
  /** The name of the script in stack traces. */
  readonly scriptName: string;
}

/** A JavaScript call as received: the kernel checks the digests and decodes the arguments. */
export interface ApplyJob {
  readonly type: 'apply';
  readonly job: number;
  readonly msgId: string;
  readonly content: Dict;
  readonly buffers: readonly Uint8Array[];
  readonly scriptName: string;
}

export type KernelJob = ExecuteJob | ApplyJob;

/**
 * The kernel sends this to the hub when the engine has ended without unregistering. It is the first message to a
 * kernel.
 */
export interface Unregistration {
  /** The hub's registration socket. */
  readonly address: string;
  /** A signed unregistration_request. */
  readonly frames: readonly Uint8Array[];
  /** Socket options, with the CURVE keys if the controller uses CURVE. */
  readonly socket: Readonly<Record<string, string>>;
}

/** A message from the engine to the kernel process. */
export type KernelRequest =
  | KernelJob
  | { readonly type: 'unregistration'; readonly unregistration: Unregistration };

/** A failure, as replies and iopub report it. */
export interface FailureInfo {
  readonly ename: string;
  readonly evalue: string;
  readonly traceback: readonly string[];
}

/** How a job ended. */
export type JobOutcome =
  | { readonly ok: true; readonly content: Dict; readonly buffers: readonly Uint8Array[] }
  /** `aborted`: the job ended because it was aborted while it ran. */
  | { readonly ok: false; readonly failure: FailureInfo; readonly aborted?: boolean };

/** A message from the kernel process to the engine. */
export type KernelMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'stream'; readonly name: 'stdout' | 'stderr'; readonly text: string }
  | { readonly type: 'execute_result'; readonly job: number; readonly text: string }
  /** Published data, encoded as a data_message. */
  | {
      readonly type: 'data';
      readonly job: number;
      readonly content: Dict;
      readonly buffers: readonly Uint8Array[];
    }
  | { readonly type: 'done'; readonly job: number; readonly outcome: JobOutcome }
  /** One interrupt has ended: it can no longer terminate the next job. */
  | { readonly type: 'interrupted' };

/** The guard pipe's line that interrupts a job. */
export const interruptLine = (job: number): string => `i${job}`;
/** The guard pipe's line that aborts a job. */
export const abortLine = (job: number): string => `a${job}`;

/** The descriptor of the guard pipe, on which the engine sends interrupts and aborts. It closes when the engine ends. */
export const GUARD_PIPE_FD = 4;
