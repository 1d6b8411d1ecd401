import type { Dict, TaskKey } from '@ipyparallel-js/protocol';
import type { QueryNode, Sort, SortKeys } from '@ipyparallel-js/protocol/internal';

/** A task as it is stored and sent in a `db_reply`. Dates are ISO 8601 texts in UTC with microseconds. */
export interface StoredTask {
  readonly msg_id: string;
  readonly header: Dict | null;
  readonly metadata: Dict | null;
  readonly content: Dict | null;
  readonly buffers: readonly Uint8Array[] | null;
  readonly submitted: string | null;
  readonly client_uuid: string | null;
  readonly engine_uuid: string | null;
  readonly started: string | null;
  readonly completed: string | null;
  readonly resubmitted: string | null;
  readonly received: string | null;
  readonly result_header: Dict | null;
  readonly result_metadata: Dict | null;
  readonly result_content: Dict | null;
  readonly result_buffers: readonly Uint8Array[] | null;
  readonly queue: string | null;
  readonly execute_input: string | null;
  readonly execute_result: Dict | null;
  readonly error: Dict | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly label: string | null;
  readonly display_data: Dict | null;
}

/** Fields of a task and their new values. */
export type TaskFields = { readonly [K in Exclude<keyof StoredTask, 'msg_id'>]?: StoredTask[K] };

export type TaskChange =
  /**
   * Adds a task. If output has already created its record, fields that are null or empty in `task` keep their stored
   * values.
   */
  | { readonly op: 'add'; readonly task: StoredTask }
  /** Sets fields of a task and appends to its output. Ignored if there is no such task, unless `orAdd` is set. */
  | {
      readonly op: 'update';
      readonly msgId: string;
      readonly set?: TaskFields;
      readonly append?: { readonly stdout?: string; readonly stderr?: string };
      /** Creates the record if there is none, because output may arrive before the request. */
      readonly orAdd?: boolean;
    };

export interface WriteOutcome {
  /** Ids of the tasks that the limits of the store have removed. */
  readonly culled: readonly string[];
  /** The removed records, if the store has them in memory. */
  readonly culledTasks?: readonly StoredTask[];
}

export interface FindOptions {
  /** The fields to read, always with `msg_id`; by default all except the two buffers. */
  readonly keys?: readonly TaskKey[];
  /** The order; its last field is `msg_id`. Order of arrival by default. */
  readonly sort?: Sort;
  /** Returns only the records after this position, which need not be that of a record. Requires `sort`. */
  readonly after?: SortKeys;
  readonly skip?: number;
  readonly limit?: number;
}

/** A record with the requested fields. */
export type FoundTask = Partial<StoredTask> & { readonly msg_id: string };

/** A field of a record in a JSON message. */
export interface JsonField {
  readonly name: string;
  /** Any column except the two buffers, which are sent as frames of their own. */
  readonly column: TaskKey;
  /** Omits the field if it is null. */
  readonly optional?: boolean;
}

export interface PageOptions extends Pick<FindOptions, 'after' | 'skip'> {
  readonly sort: Sort;
  /** Maximum number of records. */
  readonly limit: number;
  /** Size in bytes at which the page ends. The last records may exceed it. */
  readonly bytes: number;
}

/** A page of records as JSON, ready to be sent. */
export interface JsonPage {
  /** Pieces with one or more JSON objects each, separated by commas. */
  readonly json: readonly Uint8Array[];
  /** The sort fields of the last record, if more matches may follow. */
  readonly last?: FoundTask;
}

/** Selects tasks by query or by id. */
export type Selection = { readonly query: QueryNode } | { readonly msgIds: readonly string[] };

export interface RemovalResult {
  readonly count: number;
  /** Freed bytes, as far as the store can determine them. */
  readonly bytes: number;
  /** Ids of the removed tasks. */
  readonly msgIds: readonly string[];
}

/**
 * Contract of a store of tasks. All methods are asynchronous and must not block their thread for long. The changes of one
 * call are applied in order. A read sees every write that was awaited before it.
 */
export interface TaskDatabase {
  /** Name of the kind of store for logs: `memory`, `none`. */
  readonly kind: string;
  write(changes: readonly TaskChange[]): Promise<WriteOutcome>;
  /** Returns the tasks that exist, by id. */
  get(msgIds: readonly string[], keys?: readonly TaskKey[]): Promise<Map<string, FoundTask>>;
  /** Yields all matches in chunks. */
  find(query: QueryNode, options?: FindOptions): AsyncIterable<readonly FoundTask[]>;
  /**
   * Returns one page of the matches as JSON, with dates in wire format. Only a store that holds JSON implements it, because
   * such a store need not parse and serialize its records.
   */
  readPage?(query: QueryNode, fields: readonly JsonField[], options: PageOptions): Promise<JsonPage>;
  count(query: QueryNode): Promise<number>;
  /** Returns all ids in the order of submission, except those without a submission time. */
  history(): Promise<string[]>;
  /**
   * Removes tasks by query or by id. Unknown ids are ignored. With `dryRun`, nothing is removed and the result is that of
   * the real removal, bytes included.
   */
  remove(selection: Selection, options?: { readonly dryRun?: boolean }): Promise<RemovalResult>;
  close(): Promise<void>;
}

/** Returns a record that has an id only. */
export function emptyTask(msgId: string): StoredTask {
  return {
    msg_id: msgId,
    header: null,
    metadata: null,
    content: null,
    buffers: null,
    submitted: null,
    client_uuid: null,
    engine_uuid: null,
    started: null,
    completed: null,
    resubmitted: null,
    received: null,
    result_header: null,
    result_metadata: null,
    result_content: null,
    result_buffers: null,
    queue: null,
    execute_input: null,
    execute_result: null,
    error: null,
    stdout: '',
    stderr: '',
    label: null,
    display_data: null,
  };
}
