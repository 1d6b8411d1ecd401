import type { Dict, RemoteError } from '@ipyparallel-js/protocol';

/**
 * The facts about a task other than its result, updated as the task proceeds. Each time comes from the clock of the machine
 * that recorded it.
 * Mirrors ipyparallel `Metadata`.
 */
export interface TaskMetadata {
  readonly msgId: string;
  /** When the client sent the task. */
  readonly submitted: Date | null;
  /** When an engine reported that it began the task; null without such a message. */
  readonly begun: Date | null;
  /** When the engine began the task according to its reply; known with the result. */
  readonly started: Date | null;
  /** When the engine finished the task. */
  readonly completed: Date | null;
  /** When the result reached this client, or for tasks of other clients the hub; without a reply, when its end was known. */
  readonly received: Date | null;
  readonly engineUuid: string | null;
  readonly engineId: number | null;
  readonly label: string | null;
  /** The ids of the tasks on which it depended (`after`). */
  readonly after: readonly string[];
  /** The ids of the tasks whose engine it required (`follow`). */
  readonly follow: readonly string[];
  /** The status of its reply; null until it has ended. */
  readonly status: 'ok' | 'error' | 'aborted' | null;
  /** The code of an `execute`. */
  readonly executeInput: string | null;
  /** The content of `execute_result`: the value of the last expression. */
  readonly executeResult: Dict | null;
  /** The error that it published. */
  readonly error: RemoteError | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The contents of its `display_data` messages, in order; a record contains only the last one. */
  readonly outputs: readonly Dict[];
  /** The data that it published with `publish_data`: the last value of each key. Records do not contain it. */
  readonly data: Readonly<Dict>;
}

/** Metadata that can be updated. */
export type MutableMetadata = { -readonly [K in keyof TaskMetadata]: TaskMetadata[K] } & {
  outputs: Dict[];
  data: Dict;
};

/** A piece of output of a task. */
export type TaskOutput =
  | { readonly type: 'stdout' | 'stderr'; readonly text: string }
  | { readonly type: 'displayData'; readonly content: Dict }
  | { readonly type: 'executeResult'; readonly content: Dict }
  /** Published data: the keys and values of one message. */
  | { readonly type: 'data'; readonly data: Dict }
  | { readonly type: 'error'; readonly error: RemoteError };

/** A piece of output and its task. */
export interface OutputOfTask {
  readonly msgId: string;
  readonly engineId: number | null;
  readonly output: TaskOutput;
}

/** Metadata without any known facts. */
export function newMetadata(msgId: string): MutableMetadata {
  return {
    msgId,
    submitted: null,
    begun: null,
    started: null,
    completed: null,
    received: null,
    engineUuid: null,
    engineId: null,
    label: null,
    after: [],
    follow: [],
    status: null,
    executeInput: null,
    executeResult: null,
    error: null,
    stdout: '',
    stderr: '',
    outputs: [],
    data: {},
  };
}
