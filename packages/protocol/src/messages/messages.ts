import type { Dict } from '../common/dict.js';

/** A message header, as on the wire. */
export interface Header {
  readonly msg_id: string;
  readonly msg_type: string;
  readonly session: string;
  readonly username: string;
  /** ISO 8601, six digits. */
  readonly date: string;
  readonly version: string;
  readonly [key: string]: unknown;
}

/** The content of a reply that reports a failure. */
export interface ErrorContent {
  readonly status: 'error' | 'aborted';
  readonly ename?: string;
  readonly evalue?: string;
  readonly traceback?: readonly string[];
  /** Empty, or complete. */
  readonly engine_info?: Dict;
}

/** A reply's content: what it is when all went well, or an error. */
export type ReplyContent<T> = (T & { readonly status: 'ok' }) | ErrorContent;

/** What our own hub says of itself in `connection_reply`; stock hubs say nothing. */
export interface HubInfo {
  readonly name: string;
  readonly version: string;
  /** Capabilities that a client may rely on, for example `query` (MongoDB's meaning on every key and path). */
  readonly features: readonly string[];
  /** An id of this hub's life: another one, and it has been started anew. */
  readonly epoch?: string;
}

/** One change of a {@link MessageContents.subscription_update}; applied by `msg_id`, in order. */
export type SubscriptionChange = {
  /** Its place: everything up to here has been told with it. */
  readonly seq?: number;
} /**
 * The record matches and is now this: the keys asked for, and `engine_uuid`, `completed` and `result_content`, of
 * which its status is derived. `begun` is when its engine began with it, where the hub was told and it has not ended.
 */ & (
  | { readonly op: 'set'; readonly record: Dict; readonly begun?: string }
  /** It exists, but does not match (any more); also said of records that never did. */
  | { readonly op: 'out'; readonly msg_id: string }
  /** It is purged or culled. */
  | { readonly op: 'gone'; readonly msg_id: string }
);

/** One engine's line of a `queue_reply`: counts, or msg_ids when verbose. */
export interface QueueStatusContent {
  readonly queue: number | readonly string[];
  readonly completed: number | readonly string[];
  readonly tasks: number | readonly string[];
}

/** Every message of the ipyparallel wire that is read or written here: its content by `msg_type`. */
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
    /** Of those completed: what is unfinished and nowhere to be found. Our hub's (feature `lost`). */
    readonly lost?: readonly string[];
  }>;
  history_request: Dict;
  history_reply: ReplyContent<{ readonly history: readonly string[] }>;
  /** What comes after `keys` is our hub's (feature `page`): with any of it the answer comes in pages of bounded size. */
  db_request: {
    readonly query: Dict;
    readonly keys: readonly string[] | null;
    readonly sort?: readonly (readonly [string, 1 | -1])[];
    readonly skip?: number;
    readonly limit?: number;
    /** The `next` of the page before. */
    readonly after?: string;
    /** Asks how many match, for no records. */
    readonly count?: boolean;
  };
  db_reply: ReplyContent<{
    readonly records: readonly Dict[];
    readonly buffer_lens: readonly number[] | null;
    readonly result_buffer_lens: readonly number[] | null;
    /** Where the next page begins; null when there is none. */
    readonly next?: string | null;
    readonly count?: number;
  }>;
  /** `query` and `dry_run` are our hub's (feature `purge-query`): what matches and has ended goes. */
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
   * Our hub's (feature `subscribe`): what changes of the query's matches from now on, or since `after`, is pushed to the
   * asker's routing identity in `subscription_update`s, whose parent is this request. The rest is in ARCHITECTURE.md.
   */
  subscribe_request: {
    readonly query: Dict;
    /** As in `db_request`. */
    readonly keys: readonly string[] | null;
    readonly after?: { readonly epoch: string; readonly seq: number };
    /** Somebody may resume who has none of the records: remember what was told, also when nobody subscribes any more. */
    readonly resumable?: boolean;
  };
  subscribe_reply: ReplyContent<{
    readonly subscription: string;
    readonly epoch: string;
    /** Everything written after this is pushed. */
    readonly seq: number;
    /** Whether `after` could be gone on from; if not, a snapshot taken from now on is the ground to build on. */
    readonly resumed: boolean;
    /** How long a subscriber may say nothing before it is given up, in ms. */
    readonly silence?: number;
  }>;
  subscription_update: {
    readonly subscription: string;
    /** Everything written up to this has been told: the `seq` to acknowledge, and to resume from. */
    readonly seq: number;
    readonly changes: readonly SubscriptionChange[];
    /** How many buffers each `set` has, in their order; null where they were not asked for. */
    readonly buffer_lens: readonly number[] | null;
    readonly result_buffer_lens: readonly number[] | null;
    /** Nothing is held back: of every task the latest up to `seq` has been told. */
    readonly complete?: boolean;
    /** More has changed than the hub remembers: take a new snapshot. */
    readonly reset?: boolean;
    /** The subscription has ended, or there is none such, and why; the last update. */
    readonly ended?: string;
  };
  /** Gives credit for further updates; no reply. Two may be unacknowledged. Of one subscription, or of several. */
  subscription_ack:
    | { readonly subscription: string; readonly seq: number }
    | { readonly acks: readonly (readonly [subscription: string, seq: number])[] };
  /** Says that somebody still listens; no reply. Without it or an acknowledgement a subscription ends after a while (`silence`). */
  subscription_renew: { readonly subscription: string };
  /**
   * Answered when everything written before it has been evaluated; an update up to there follows, if need be an empty one.
   * `after` asks what one was told who had all up to `base` and, of a complete update from there up to `upTo`, what came up
   * to `seq`.
   */
  subscription_sync_request: {
    readonly subscription: string;
    readonly after?: { readonly base: number; readonly seq: number; readonly upTo: number };
  };
  subscription_sync_reply: ReplyContent<{
    readonly seq: number;
    /**
     * First what was told of whatever has changed since `base`, so many as `told` says; then the rest of that update. Null
     * where that is not known.
     */
    readonly changes?: readonly SubscriptionChange[] | null;
    readonly told?: number;
    /** Unfinished tasks that have begun, and when. */
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
    /** Whether a failure aborts what else the engine has queued; ipykernel's default is true. */
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
  /** Published by a task; buffers hold the data: `decodeTaskData`. */
  data_message: { readonly keys?: readonly string[]; readonly [key: string]: unknown };
  error: { readonly ename: string; readonly evalue: string; readonly traceback: readonly string[] };
}

/** The message types of {@link MessageContents}. */
export type MsgType = keyof MessageContents;

/** A received message whose `msg_type` is not (yet) known: the signed dicts and the buffers. */
export interface AnyMessage {
  /** Routing identities, and the topic on iopub. */
  readonly idents: readonly Buffer[];
  readonly header: Header;
  readonly msg_id: string;
  readonly msg_type: string;
  readonly parent_header: Header | Dict;
  readonly metadata: Dict;
  readonly content: Dict;
  /** Not covered by the signature. */
  readonly buffers: readonly Buffer[];
}

/** A received message of one type. */
export type MessageOf<T extends MsgType> = AnyMessage & {
  readonly msg_type: T;
  readonly content: MessageContents[T];
};

/** Every known message: a union that `msg_type` discriminates. */
export type Message = { [T in MsgType]: MessageOf<T> }[MsgType];

const KNOWN: Record<MsgType, true> = {
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

/** Narrows a received message to the union of known ones. Contents are typed as their senders promise. */
export function isKnownMessage(message: AnyMessage | Message): message is Message {
  return Object.hasOwn(KNOWN, message.msg_type);
}

/** Narrows a received message to one type. */
export function isMessageOf<T extends MsgType>(
  message: AnyMessage | Message,
  msgType: T,
): message is MessageOf<T> {
  return message.msg_type === msgType;
}

/** The msg_id of the request that a reply answers, or undefined. */
export function parentId(message: Pick<AnyMessage, 'parent_header'>): string | undefined {
  const id = message.parent_header['msg_id'];
  return typeof id === 'string' ? id : undefined;
}
