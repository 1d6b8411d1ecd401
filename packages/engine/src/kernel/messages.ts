import type { Dict } from '@ipyparallel-js/protocol';

// What the engine and its kernel process say to each other over Node's IPC channel (serialization: advanced).

/** Code to run in the kernel's context. */
export interface ExecuteJob {
  readonly type: 'execute';
  readonly job: number;
  readonly msgId: string;
  readonly code: string;
  readonly silent: boolean;
  /** Expressions to evaluate after the code, by name. */
  readonly userExpressions: Readonly<Record<string, string>>;
  /** Names the script in stack traces. */
  readonly scriptName: string;
}

/** A JavaScript call, as it came: the kernel checks the digests and unpacks the arguments. */
export interface ApplyJob {
  readonly type: 'apply';
  readonly job: number;
  readonly msgId: string;
  readonly content: Dict;
  readonly buffers: readonly Uint8Array[];
  readonly scriptName: string;
}

export type KernelJob = ExecuteJob | ApplyJob;

/** What the kernel tells the hub when the engine is gone without having said so. */
export interface Farewell {
  /** The hub's registration socket. */
  readonly address: string;
  /** A signed unregistration_request. */
  readonly frames: readonly Uint8Array[];
  /** Socket options; the CURVE keys, where there are any. */
  readonly socket: Readonly<Record<string, string>>;
}

/** What the engine tells the kernel process. */
export type KernelRequest = KernelJob | { readonly type: 'farewell'; readonly farewell: Farewell };

/** A failure, as replies and iopub report it. */
export interface FailureInfo {
  readonly ename: string;
  readonly evalue: string;
  readonly traceback: readonly string[];
}

/** How a job ended. */
export type JobOutcome =
  | { readonly ok: true; readonly content: Dict; readonly buffers: readonly Uint8Array[] }
  /** `aborted`: it ended because it was aborted while it ran. */
  | { readonly ok: false; readonly failure: FailureInfo; readonly aborted?: boolean };

/** What the kernel process tells the engine. */
export type KernelMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'stream'; readonly name: 'stdout' | 'stderr'; readonly text: string }
  | { readonly type: 'execute_result'; readonly job: number; readonly text: string }
  /** Published data, packed as a data_message. */
  | {
      readonly type: 'data';
      readonly job: number;
      readonly content: Dict;
      readonly buffers: readonly Uint8Array[];
    }
  | { readonly type: 'done'; readonly job: number; readonly outcome: JobOutcome }
  /** An interrupt has been dealt with: the kernel is ready for the next job. */
  | { readonly type: 'interrupted' };

/** What the main thread answers when its guard asks it to interrupt. */
export const SEEN = 'seen';

/** What the guard thread tells the main thread. */
export type GuardNotice = 'interrupt' | 'terminated' | 'abort';

/** What the guard thread is given: where it writes the number of the job that is to be aborted. */
export interface GuardData {
  readonly aborts: Int32Array;
}

/** The line that asks for an interrupt of whatever runs. */
export const INTERRUPT_LINE = 'i';
/** The line that asks for the abort of a job. */
export const abortLine = (job: number): string => `a${job}`;

/**
 * The descriptor of the pipe on which the engine asks for interrupts and aborts, a line each; its end is the engine's
 * end.
 */
export const LIFELINE_FD = 4;
