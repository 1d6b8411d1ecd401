import type { PickleLimits } from '@ipyparallel-js/protocol';
import type { OptionNames } from '@ipyparallel-js/protocol/internal';
import type { ConnectionOptions } from '../connection/connection.js';
import type { ResultCacheLimits } from '../tasks/result-cache.js';

/** Options of `Client.connect`. */
export interface ConnectOptions extends ConnectionOptions {
  /** How long connecting may take, in ms; 10,000 by default. */
  readonly timeout?: number;
  /** Aborts connecting. */
  readonly signal?: AbortSignal;
  /** How long a request to the hub may take when it names no time of its own, in ms; 60,000 by default. */
  readonly requestTimeout?: number;
  /** How often the hub is asked about tasks of other clients that are waited for, in ms; 100 by default. */
  readonly pollInterval?: number;
  /** How much is held of results that nobody has read; 1,000 results and 64 MiB by default. The hub has the others. */
  readonly resultCache?: ResultCacheLimits;
  /** What reading one Python result may take; a result past it fails with UnpickleError. See docs/python-values.md. */
  readonly pickleLimits?: Partial<PickleLimits>;
  /**
   * How long what waits goes on waiting while the controller is out of reach, in ms; 30,000 by default. Then it fails
   * with ConnectionClosedError, and the client still tries to connect. So long, too, load-balanced work waits for engines
   * once the controller is back.
   */
  readonly reconnectTimeout?: number;
  /**
   * How often a silent link is probed, in ms; 2,500 by default, 0 for never. The controller's ZeroMQ answers, however
   * busy the hub is; after four probes' time without an answer the connection counts as cut.
   */
  readonly heartbeatInterval?: number;
  /** The user name that messages carry; `username` by default. */
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
