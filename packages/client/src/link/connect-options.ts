import type { PickleLimits } from '@ipyparallel-js/protocol';
import type { OptionNames } from '@ipyparallel-js/protocol/internal';
import type { ConnectionOptions } from '../connection/connection.js';
import type { ResultCacheLimits } from '../tasks/result-cache.js';

/** Options of `Client.connect`. */
export interface ConnectOptions extends ConnectionOptions {
  /** The timeout of connecting in ms; 10,000 by default. */
  readonly timeout?: number;
  /** Aborts connecting. */
  readonly signal?: AbortSignal;
  /** The default timeout of requests to the hub in ms; 60,000 by default. */
  readonly requestTimeout?: number;
  /** The interval in ms at which the client polls the hub for results of other clients' tasks; 100 by default. */
  readonly pollInterval?: number;
  /** The limits of the cache of unread results; 1,000 results and 64 MiB by default. The hub keeps evicted results. */
  readonly resultCache?: ResultCacheLimits;
  /** The limits of decoding one Python result; a larger result fails with UnpickleError. See docs/python-values.md. */
  readonly pickleLimits?: Partial<PickleLimits>;
  /**
   * How long requests, results and submissions wait while the controller cannot be reached, in ms; 30,000 by default.
   * After that they fail with ConnectionClosedError, and the client keeps trying to connect. After a reconnection,
   * load-balanced work waits for engines for the same time.
   */
  readonly reconnectTimeout?: number;
  /**
   * The interval in ms at which a silent link is probed; 2,500 by default, 0 disables probing. ZeroMQ in the controller
   * replies even if the hub is busy; after four intervals without a reply the connection counts as broken.
   */
  readonly heartbeatInterval?: number;
  /** The user name in the headers of messages; `username` by default. */
  readonly username?: string;
}

/** @deprecated Use {@link ConnectOptions}. */
export type ClientOptions = ConnectOptions;

export const PICKLE_LIMITS: OptionNames<PickleLimits> = {
  maxDepth: true,
  maxOpcodes: true,
  maxMemoEntries: true,
  maxMemory: true,
  maxExpanded: true,
  maxIntegerBytes: true,
};

export const CONNECT_OPTIONS: OptionNames<ConnectOptions> = {
  connectionFile: true,
  profile: true,
  clusterId: true,
  profileDir: true,
  ipythonDir: true,
  sshServer: true,
  sshKey: true,
  sshOptions: true,
  timeout: true,
  signal: true,
  requestTimeout: true,
  pollInterval: true,
  resultCache: true,
  pickleLimits: true,
  reconnectTimeout: true,
  heartbeatInterval: true,
  username: true,
};
