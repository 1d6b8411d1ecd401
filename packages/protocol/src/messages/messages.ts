import type { Dict } from '../common/dict.js';

/** A message header. */
export interface Header {
  readonly msg_id: string;
  readonly msg_type: string;
  readonly session: string;
  readonly username: string;
  /** The time of creation: ISO 8601 with six fractional digits. */
  readonly date: string;
  /** The version of the Jupyter messaging protocol. */
  readonly version: string;
  readonly [key: string]: unknown;
}

/** The content of a reply that reports a failure. */
export interface ErrorContent {
  readonly status: 'error' | 'aborted';
  readonly ename?: string;
  readonly evalue?: string;
  readonly traceback?: readonly string[];
  /** The engine that failed: `engine_uuid`, `engine_id` and `method`, or empty. */
  readonly engine_info?: Dict;
}

/** The content of a reply: a result with status `ok`, or an error. */
export type ReplyContent<T> = (T & { readonly status: 'ok' }) | ErrorContent;

/** The `hub` field of a `connection_reply`. The hub of ipyparallel-js sends it, Python hubs do not. */
export interface HubInfo {
  readonly name: string;
  readonly version: string;
  /** The extensions that the hub supports, for example `query` (MongoDB's semantics on every key and path). */
  readonly features: readonly string[];
  /** The id of this run of the hub; it changes when the hub restarts. */
  readonly epoch?: string;
}

/** One change of a {@link MessageContents.subscription_update}. Changes apply in order, by `msg_id`. */
export type SubscriptionChange = {
  /** The position of this change; a subscriber that has received it has received all earlier changes. */
  readonly seq?: number;
} & (
  | {
      /** The record matches. */
      readonly op: 'set';
      /** The requested keys, and `engine_uuid`, `completed` and `result_content`, which determine its status. */
      readonly record: Dict;
      /** When the engine began the task; missing when the engine did not report it, or when the task has ended. */
      readonly begun?: string;
    }
  /** The record exists but does not match; also sent for records that never matched. */
  | { readonly op: 'out'; readonly msg_id: string }
  /** The record was purged or culled. */
  | { readonly op: 'gone'; readonly msg_id: string }
);

/** One engine's entry of a `queue_reply`: counts, or msg_ids when `verbose`. */
export interface QueueStatusContent {
  readonly queue: number | readonly string[];
  readonly completed: number | readonly string[];
  readonly tasks: number | readonly string[];
}

/** The content of every supported message of the ipyparallel protocol, by `msg_type`. */
export interface MessageContents {
  // client and hub
  connection_request: Dict;
  connection_reply: ReplyContent<{
    readonly engines: { readonly [id: string]: string };
    readonly hub?: HubInfo;
  }>;
  queue_request: { readonly targets: readonly number[] | null; readonly verbose: boolean };
  queue_reply: ReplyContent<Dict>;
  result_request: { readonly msg_ids: readonly string[]; readonly status_only: boolean };
  result_reply: ReplyContent<{
    readonly pending: readonly string[];
    readonly completed: readonly string[];
    /** The ids in `completed` of unfinished tasks that no engine has. Only from our hub (feature `lost`). */
    readonly lost?: readonly string[];
  }>;
  history_request: Dict;
  history_reply: ReplyContent<{ readonly history: readonly string[] }>;
  /** The fields after `keys` are for our hub only (feature `page`). With any of them the hub replies in bounded pages. */
  db_request: {
    readonly query: Dict;
    readonly keys: readonly string[] | null;
    readonly sort?: readonly (readonly [string, 1 | -1])[];
    readonly skip?: number;
    readonly limit?: number;
    /** The `next` of the previous page. */
    readonly after?: string;
    /** Requests the number of matches instead of records. */
    readonly count?: boolean;
  };
  db_reply: ReplyContent<{
    readonly records: readonly Dict[];
    readonly buffer_lens: readonly number[] | null;
    readonly result_buffer_lens: readonly number[] | null;
    /** The cursor of the next page; null on the last page. */
    readonly next?: string | null;
    readonly count?: number;
  }>;
  /** `query` and `dry_run` are for our hub only (feature `purge-query`): it purges the finished tasks that match. */
  purge_request: {
    readonly msg_ids: readonly string[] | 'all';
    readonly engine_ids: readonly number[];
    readonly query?: Dict;
    readonly dry_run?: boolean;
  };
  purge_reply: ReplyContent<Dict>;
  load_request: { readonly targets: readonly number[] | null };
  load_reply: ReplyContent<Dict>;
  resubmit_request: { readonly msg_ids: readonly string[] };
  resubmit_reply: ReplyContent<{ readonly resubmitted: { readonly [msgId: string]: string } }>;
  /**
   * Subscribes to a query; our hub only (feature `subscribe`). The hub sends the changes of its matches from now on, or
   * since `after`, to the routing identity of the subscriber, as `subscription_update`s whose parent is this request.
   */
  subscribe_request: {
    readonly query: Dict;
    /** As in `db_request`. */
    readonly keys: readonly string[] | null;
    /** The position to resume from. */
    readonly after?: { readonly epoch: string; readonly seq: number };
    /** Whether the hub keeps the history of sent changes, even without subscribers, for a client that resumes without records. */
    readonly resumable?: boolean;
  };
  subscribe_reply: ReplyContent<{
    readonly subscription: string;
    readonly epoch: string;
    /** The hub sends every change after this position. */
    readonly seq: number;
    /** Whether the subscription resumed at `after`; if not, the subscriber must take a snapshot after this reply. */
    readonly resumed: boolean;
    /** The hub ends the subscription after this time without a renewal or an acknowledgement, in ms. */
    readonly silence?: number;
  }>;
  subscription_update: {
    readonly subscription: string;
    /** The subscriber now has every change up to this position. It acknowledges this position, and resumes from it. */
    readonly seq: number;
    readonly changes: readonly SubscriptionChange[];
    /** The number of buffers of each `set`, in order; null when buffers were not requested. */
    readonly buffer_lens: readonly number[] | null;
    readonly result_buffer_lens: readonly number[] | null;
    /** Whether the hub has sent the latest state of every task up to `seq`. */
    readonly complete?: boolean;
    /** Whether the changes exceed the hub's history; the subscriber must then take a new snapshot. */
    readonly reset?: boolean;
    /** Why the subscription ended or does not exist; set on the last update. */
    readonly ended?: string;
  };
  /** Acknowledges updates of one or several subscriptions; no reply. The hub sends at most two unacknowledged updates. */
  subscription_ack:
    | { readonly subscription: string; readonly seq: number }
    | { readonly acks: readonly (readonly [subscription: string, seq: number])[] };
  /** Keeps a subscription open; no reply. Without it or an acknowledgement, the subscription ends after `silence` ms. */
  subscription_renew: { readonly subscription: string };
  /**
   * The hub replies after it has evaluated every earlier change, then sends an update up to that position, which may be
   * empty. `after` requests the changes for a subscriber that has everything up to `base`, and the changes up to `seq`
   * from the complete update that follows, which ends at `upTo`.
   */
  subscription_sync_request: {
    readonly subscription: string;
    readonly after?: { readonly base: number; readonly seq: number; readonly upTo: number };
  };
  subscription_sync_reply: ReplyContent<{
    readonly seq: number;
    /**
     * The changes requested with `after`: first the `told` changes that were already sent since `base`, then the rest of
     * that update. Null when the history does not reach back that far.
     */
    readonly changes?: readonly SubscriptionChange[] | null;
    readonly told?: number;
    /** When each running task began, by `msg_id`. */
    readonly begun?: { readonly [msgId: string]: string };
  }>;
  unsubscribe_request: { readonly subscription: string };
  unsubscribe_reply: ReplyContent<Dict>;
  shutdown_request: { readonly restart?: boolean };
  shutdown_reply: ReplyContent<{ readonly restart?: boolean }>;
  hub_error: ErrorContent;
  // engine and hub
  registration_request: { readonly uuid: string; readonly id?: number | null };
  registration_reply: ReplyContent<{
    readonly id: number;
    readonly hb_period: number;
    readonly connection_info: Dict;
  }>;
  unregistration_request: { readonly id: number };
  // notifications
  registration_notification: { readonly id: number; readonly uuid: string };
  unregistration_notification: { readonly id: number; readonly uuid: string };
  shutdown_notification: Dict;
  // work
  execute_request: {
    readonly code: string;
    readonly silent: boolean;
    readonly store_history?: boolean;
    readonly user_expressions?: Dict;
    readonly allow_stdin?: boolean;
    /** Whether a failure aborts the other tasks in the engine's queue; ipykernel's default is true. */
    readonly stop_on_error?: boolean;
  };
  execute_reply: ReplyContent<{ readonly execution_count?: number; readonly user_expressions?: Dict }>;
  /** Empty for Python's pickled calls; {@link JsCall} for JavaScript functions. */
  apply_request: Dict;
  apply_reply: ReplyContent<Dict>;
  abort_request: { readonly msg_ids?: readonly string[] | string | null };
  abort_reply: ReplyContent<Dict>;
  clear_request: Dict;
  clear_reply: ReplyContent<Dict>;
  signal_request: { readonly sig: number | string };
  signal_reply: ReplyContent<Dict>;
  kernel_info_request: Dict;
  kernel_info_reply: ReplyContent<{
    readonly implementation: string;
    readonly implementation_version?: string;
    readonly language_info: {
      readonly name: string;
      readonly version?: string;
      readonly [key: string]: unknown;
    };
  }>;
  // iopub
  status: { readonly execution_state: 'busy' | 'idle' | 'starting' };
  stream: { readonly name: 'stdout' | 'stderr'; readonly text: string };
  execute_input: { readonly code: string; readonly execution_count: number };
  execute_result: { readonly data: Dict; readonly metadata: Dict; readonly execution_count?: number };
  display_data: { readonly data: Dict; readonly metadata: Dict };
  /** Data published by a task; the buffers hold it, see `decodeTaskData`. */
  data_message: { readonly keys?: readonly string[]; readonly [key: string]: unknown };
  error: { readonly ename: string; readonly evalue: string; readonly traceback: readonly string[] };
}

/** The message types of {@link MessageContents}. */
export type MsgType = keyof MessageContents;

/** A received message of any type. */
export interface AnyMessage {
  /** Routing identities; on iopub, the topic. */
  readonly idents: readonly Buffer[];
  readonly header: Header;
  readonly msg_id: string;
  readonly msg_type: string;
  readonly parent_header: Header | Dict;
  readonly metadata: Dict;
  readonly content: Dict;
  /** The buffers; the signature does not cover them. */
  readonly buffers: readonly Buffer[];
}

/** A received message of one type. */
export type MessageOf<T extends MsgType> = AnyMessage & {
  readonly msg_type: T;
  readonly content: MessageContents[T];
};

/** A received message of a known type: a union discriminated by `msg_type`. */
export type Message = { [T in MsgType]: MessageOf<T> }[MsgType];

const KNOWN_TYPES: Record<MsgType, true> = {
  connection_request: true,
  connection_reply: true,
  queue_request: true,
  queue_reply: true,
  result_request: true,
  result_reply: true,
  history_request: true,
  history_reply: true,
  db_request: true,
  db_reply: true,
  purge_request: true,
  purge_reply: true,
  load_request: true,
  load_reply: true,
  resubmit_request: true,
  resubmit_reply: true,
  subscribe_request: true,
  subscribe_reply: true,
  subscription_update: true,
  subscription_ack: true,
  subscription_renew: true,
  subscription_sync_request: true,
  subscription_sync_reply: true,
  unsubscribe_request: true,
  unsubscribe_reply: true,
  shutdown_request: true,
  shutdown_reply: true,
  hub_error: true,
  registration_request: true,
  registration_reply: true,
  unregistration_request: true,
  registration_notification: true,
  unregistration_notification: true,
  shutdown_notification: true,
  execute_request: true,
  execute_reply: true,
  apply_request: true,
  apply_reply: true,
  abort_request: true,
  abort_reply: true,
  clear_request: true,
  clear_reply: true,
  signal_request: true,
  signal_reply: true,
  kernel_info_request: true,
  kernel_info_reply: true,
  status: true,
  stream: true,
  execute_input: true,
  execute_result: true,
  display_data: true,
  data_message: true,
  error: true,
};

/** Narrows a received message to a known type. The content is typed but not checked. */
export function isKnownMessage(message: AnyMessage | Message): message is Message {
  return Object.hasOwn(KNOWN_TYPES, message.msg_type);
}

/** Narrows a received message to one type. The content is typed but not checked. */
export function isMessageOf<T extends MsgType>(
  message: AnyMessage | Message,
  msgType: T,
): message is MessageOf<T> {
  return message.msg_type === msgType;
}

/** The msg_id of the request that a message replies to; undefined when it has none. */
export function parentId(message: Pick<AnyMessage, 'parent_header'>): string | undefined {
  const id = message.parent_header['msg_id'];
  return typeof id === 'string' ? id : undefined;
}
