import type { Dict, RemoteError } from '@ipyparallel-js/protocol';

/**
 * What is known of a task beside its result, filled as it happens. Times are those of the machine that took them.
 * Mirrors ipyparallel `Metadata`.
 */
export interface TaskMetadata {
  readonly msgId: string;
  /** When the client sent it. */
  readonly submitted: Date | null;
  /** When a signal said that an engine had begun with it; null where none tells. */
  readonly begun: Date | null;
  /** When the engine began, as its reply says: known with the result. */
  readonly started: Date | null;
  /** When the engine finished. */
  readonly completed: Date | null;
  /** When the result reached this client; for tasks of others, the hub. Of a task without a reply: when its end was known. */
  readonly received: Date | null;
  readonly engineUuid: string | null;
  readonly engineId: number | null;
  readonly label: string | null;
  /** The ids of the tasks that it waited for. */
  readonly after: readonly string[];
  /** The ids of the tasks whose engine it wanted. */
  readonly follow: readonly string[];
  /** How it ended, in the words of its reply; null until then. */
  readonly status: 'ok' | 'error' | 'aborted' | null;
  /** The code, of an `execute`. */
  readonly executeInput: string | null;
  /** The content of `execute_result`: the value of the last expression. */
  readonly executeResult: Dict | null;
  /** What it raised, as published. */
  readonly error: RemoteError | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The contents of its `display_data` messages, in order; a record has the last one at most. */
  readonly outputs: readonly Dict[];
  /** What it published with `publish_data`, the last value of each key; never in a record. */
  readonly data: Readonly<Dict>;
}

/** The same while it is being filled. */
export type MutableMetadata = { -readonly [K in keyof TaskMetadata]: TaskMetadata[K] } & {
  outputs: Dict[];
  data: Dict;
};

/** Something that a task put out while it ran. */
export type TaskOutput =
  | { readonly type: 'stdout' | 'stderr'; readonly text: string }
  | { readonly type: 'displayData'; readonly content: Dict }
  | { readonly type: 'executeResult'; readonly content: Dict }
  /** Published data: the keys of this message. */
  | { readonly type: 'data'; readonly data: Dict }
  | { readonly type: 'error'; readonly error: RemoteError };

/** A piece of output, and whose it is. */
export interface OutputOfTask {
  readonly msgId: string;
  readonly engineId: number | null;
  readonly output: TaskOutput;
}

/** Nothing known yet. */
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
