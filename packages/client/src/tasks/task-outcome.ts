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

/** What `execute` gives: the value of the last expression as the engine shows it, and what was printed. */
export interface ExecuteReply {
  readonly executionCount: number | null;
  /** The last expression's value as text; null when it has none. */
  readonly text: string | null;
  /** The same by MIME type, `text/plain` among them; empty when it has none. */
  readonly data: Dict;
  readonly stdout: string;
  readonly stderr: string;
  readonly engineUuid: string | null;
  readonly engineId: number | null;
}

/** A finished task's reply and what was published beside it, from the wire or from a record. */
export interface FinishedTask {
  /** `execute_reply` or `apply_reply`. */
  readonly msgType: string;
  readonly content: Dict;
  readonly buffers: readonly Uint8Array[];
  /** Whether the buffers hold a result of each of several engines; false by default. */
  readonly coalesced?: boolean;
  /** The content of `execute_result`. */
  readonly executeResult: Dict | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly engineUuid: string | undefined;
  readonly engineId: number | undefined;
  /** What reading it may take; the defaults of PickleLimits by default. */
  readonly pickleLimits?: Partial<PickleLimits> | undefined;
}

/** A task's outcome and final status, derived in this one place. */
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
    // The task succeeded; only its result cannot be read here.
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

/** Results behind one another, as a broadcast scheduler gathers them. */
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

/** Whether a reply says that its task was aborted in the queue; one that was aborted while it ran has an error. */
export function neverRan(content: Dict): boolean {
  return getOwn(content, 'status') === 'aborted' && getOwnString(content, 'ename') === undefined;
}

/** A reply's own word for how its task ended. */
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
