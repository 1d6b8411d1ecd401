import type { EngineConnectionInfo } from '@ipyparallel-js/protocol';
import type { LogLevel, LogSink } from '@ipyparallel-js/wire';
import type { DatabaseOptions } from '../../db/open-database.js';
import type { SubscriptionLimits } from '../subscriptions/subscriptions.js';

/** The options of a hub thread; plain data, passed when the thread starts. */
export interface HubThreadData {
  readonly key: string;
  readonly pack: string;
  readonly unpack: string;
  readonly signatureScheme: string;
  /** The address of the query socket; port 0 for any free port. */
  readonly bind: {
    readonly interface: string;
    readonly port: number;
    readonly curveSecretKey: string | undefined;
  };
  /** The memory of the {@link LinkCounts}. */
  readonly counts: SharedArrayBuffer;
  readonly hbPeriod: number;
  readonly registrationTimeout: number;
  /** The limits of live queries. */
  readonly subscriptions: Partial<SubscriptionLimits>;
  readonly db: DatabaseOptions;
  /** The path of the file that lists the registered engines. */
  readonly engineStateFile: string;
  /** Whether the hub continues the previous run. */
  readonly reuse: boolean;
  /** Whether the hub restores the engines of the previous run. */
  readonly restore: boolean;
  readonly logLevel: LogLevel;
}

/** A command to the hub's thread, besides batches of copies. */
export type HubThreadCommand =
  /** Start to serve: all sockets of the schedulers are bound. `connectionInfo` is sent to registering engines. */
  | { readonly type: 'begin'; readonly connectionInfo: Partial<EngineConnectionInfo> }
  /** The schedulers have carried out calls of the hub. */
  | { readonly type: 'done' }
  /** Write all queued changes, and end. */
  | { readonly type: 'stop' }
  /** Close the socket and end immediately. */
  | { readonly type: 'abandon' };

/** A notice of the hub's thread, besides batches of calls. */
export type HubThreadNotice =
  | { readonly type: 'bound'; readonly port: number }
  | { readonly type: 'ready' }
  /** A request waits for copies of the traffic that the schedulers' thread has not sent yet. */
  | { readonly type: 'copies' }
  /** The thread ends because of this error. */
  | { readonly type: 'failed'; readonly code?: string; readonly message: string }
  | { readonly type: 'log'; readonly level: Parameters<LogSink>[0]; readonly line: string };
