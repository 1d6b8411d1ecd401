import {
  type Dict,
  type PickleLimits,
  type TaskStatus,
  type UnpackOptions,
  unpackResult,
} from '@ipyparallel-js/protocol';
import {
  decodeJsResult,
  getOwn,
  getOwnString,
  isDict,
  isJsContent,
  outcome as outcomeOf,
  taskError,
} from '@ipyparallel-js/protocol/internal';
import type { Outcome } from './task.js';

/** The result of `execute`: the displayed value of the last expression, and the printed output. */
export interface ExecuteReply {
  readonly executionCount: number | null;
  /** The value of the last expression as text; null without a value. */
  readonly text: string | null;
  /** The value by MIME type, `text/plain` included; empty without a value. */
  readonly data: Dict;
  readonly stdout: string;
  readonly stderr: string;
  readonly engineUuid: string | null;
  readonly engineId: number | null;
}

/** The reply of an ended task and its published output, from the wire or from a record. */
export interface FinishedTask {
  /** `execute_reply` or `apply_reply`. */
  readonly msgType: string;
  readonly content: Dict;
  readonly buffers: readonly Uint8Array[];
  /** Whether the buffers hold the results of several engines; false by default. */
  readonly coalesced?: boolean;
  /** The content of `execute_result`. */
  readonly executeResult: Dict | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly engineUuid: string | undefined;
  readonly engineId: number | undefined;
  /** The limits of decoding; the defaults of PickleLimits by default. */
  readonly pickleLimits?: Partial<PickleLimits> | undefined;
}

/** Derives the outcome and the final status of a task. */
export function readOutcome(task: FinishedTask): { readonly outcome: Outcome; readonly status: TaskStatus } {
  const status = outcomeOf(task.content);
  if (status !== 'completed') {
    const place = {
      ...(task.engineUuid === undefined ? {} : { engineUuid: task.engineUuid }),
      ...(task.engineId === undefined ? {} : { engineId: task.engineId }),
    };
    return { outcome: { ok: false, error: taskError(task.content, place) }, status };
  }
  try {
    return { outcome: { ok: true, value: readValue(task) }, status };
  } catch (error) {
    // The task succeeded, but its result cannot be decoded.
    return {
      outcome: { ok: false, error: error instanceof Error ? error : new Error(String(error)) },
      status,
    };
  }
}

function readValue(task: FinishedTask): unknown {
  if (task.msgType.startsWith('execute')) return executeReply(task);
  if (isJsContent(task.content)) return decodeJsResult(task.content, task.buffers);
  const options = task.pickleLimits === undefined ? {} : { limits: task.pickleLimits };
  if (task.coalesced === true) return unpackEach(task.buffers, options);
  return task.buffers.length === 0 ? null : unpackResult(task.buffers, options).value;
}

/** Decodes concatenated results, as a broadcast scheduler combines them. */
function unpackEach(buffers: readonly Uint8Array[], options: UnpackOptions): unknown[] {
  const values: unknown[] = [];
  for (let rest = buffers; rest.length > 0; ) {
    const result = unpackResult(rest, options);
    values.push(result.value);
    if (result.rest.length >= rest.length) break;
    rest = result.rest;
  }
  return values;
}

/** Whether the task was aborted in the queue; the reply of a task aborted while it ran has an `ename`. */
export function neverRan(content: Dict): boolean {
  return getOwn(content, 'status') === 'aborted' && getOwnString(content, 'ename') === undefined;
}

/** The status of a reply. */
export function replyStatus(content: Dict): 'ok' | 'error' | 'aborted' {
  const status = outcomeOf(content);
  return status === 'completed' ? 'ok' : status === 'failed' ? 'error' : 'aborted';
}

function executeReply(task: FinishedTask): ExecuteReply {
  const shown = task.executeResult === null ? undefined : getOwn(task.executeResult, 'data');
  const data: Dict = isDict(shown) ? shown : {};
  const count = getOwn(task.content, 'execution_count');
  return {
    executionCount: typeof count === 'number' ? count : null,
    text: getOwnString(data, 'text/plain') ?? null,
    data,
    stdout: task.stdout,
    stderr: task.stderr,
    engineUuid: task.engineUuid ?? null,
    engineId: task.engineId ?? null,
  };
}
