import type { Dict, TaskKey } from '@ipyparallel-js/protocol';
import type { QueryNode, Sort, SortKeys } from '@ipyparallel-js/protocol/internal';

/** A task as it is stored: what travels in a `db_reply`. Dates are ISO 8601 texts in UTC with all their digits. */
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

/** The fields of a task that a change sets. */
export type TaskFields = { readonly [K in Exclude<keyof StoredTask, 'msg_id'>]?: StoredTask[K] };

/** One change of the Task Database. */
export type TaskChange =
  /** A new task. Where output made a record of it before, what only that has is kept. */
  | { readonly op: 'add'; readonly task: StoredTask }
  /** New values of a task's fields, and text to append to its output. Nothing, if there is no such task. */
  | {
      readonly op: 'update';
      readonly msgId: string;
      readonly set?: TaskFields;
      readonly append?: { readonly stdout?: string; readonly stderr?: string };
      /** Make a record of it if there is none: its output came before its request. */
      readonly orAdd?: boolean;
    };

/** What came of a write. */
export interface WriteOutcome {
  /** Tasks that had to go to make room. */
  readonly culled: readonly string[];
  /** As they were, where the store has them at hand. */
  readonly culledTasks?: readonly StoredTask[];
}

/** How records are to come. */
export interface FindOptions {
  /** The fields wanted; `msg_id` always comes along. All but the two buffers by default. */
  readonly keys?: readonly TaskKey[];
  /** The order, which ends with `msg_id`; of arrival when not given. */
  readonly sort?: Sort;
  /** Only what comes after this place in the order of `sort`, whether or not a record is there. Goes with `sort`. */
  readonly after?: SortKeys;
  readonly skip?: number;
  readonly limit?: number;
}

/** A record with the fields that were asked for. */
export type FoundTask = Partial<StoredTask> & { readonly msg_id: string };

/** A field of a record as it is to be written into a message. */
export interface JsonField {
  readonly name: string;
  /** Not one of the two buffers: those travel beside a message. */
  readonly column: TaskKey;
  /** Leave it out where it is null. */
  readonly optional?: boolean;
}

/** Which records a page is to have. */
export interface PageOptions extends Pick<FindOptions, 'after' | 'skip'> {
  readonly sort: Sort;
  /** At most so many records. */
  readonly limit: number;
  /** The page ends soon after it has so many bytes. */
  readonly bytes: number;
}

/** A page of records that are ready to be sent. */
export interface JsonPage {
  /** Some JSON objects each, with commas between them. */
  readonly json: readonly Uint8Array[];
  /** The last record's sort fields, where the page ended before the matches did; then there may be more. */
  readonly last?: FoundTask;
}

/** Which tasks are meant. */
export type Selection = { readonly query: QueryNode } | { readonly msgIds: readonly string[] };

/** What a removal took. */
export interface Removed {
  readonly count: number;
  /** Bytes that became free, as far as the store knows. */
  readonly bytes: number;
  /** The ids of those removed. */
  readonly msgIds: readonly string[];
}

/**
 * Where tasks are remembered. All methods are asynchronous; none may hold its thread for long. One call's changes are
 * applied in order, and a read sees every write that was awaited before it.
 */
export interface TaskDatabase {
  /** A word for logs: `memory`, `none`. */
  readonly kind: string;
  write(changes: readonly TaskChange[]): Promise<WriteOutcome>;
  /** The tasks that exist among these, by id. */
  get(msgIds: readonly string[], keys?: readonly TaskKey[]): Promise<Map<string, FoundTask>>;
  /** Every match, a chunk at a time. */
  find(query: QueryNode, options?: FindOptions): AsyncIterable<readonly FoundTask[]>;
  /**
   * One page of the matches as JSON, dates as the wire has them. Only of a store that keeps JSON: it need not be read and
   * written anew.
   */
  page?(query: QueryNode, fields: readonly JsonField[], options: PageOptions): Promise<JsonPage>;
  count(query: QueryNode): Promise<number>;
  /** All ids in the order of submission; without those of unknown submission. */
  history(): Promise<string[]>;
  /**
   * Removes by query or by id. Unknown ids are no error. With `dryRun` nothing is removed, and the answer is what the
   * same removal would give, bytes included.
   */
  remove(selection: Selection, options?: { readonly dryRun?: boolean }): Promise<Removed>;
  close(): Promise<void>;
}

/** A record of which nothing is known yet but its id. */
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
