import { TimeoutError } from '@ipyparallel-js/protocol';
import { type Deadline, pause, startDeadline } from '@ipyparallel-js/wire';
import type { Connection } from './connection.js';
import type { ConnectionSource } from './connection-source.js';
import type { Transport } from './transport.js';

export interface ConnectionEvents<Reply> {
  /** Called when the connection breaks, and when the controller announces its shutdown. */
  onDisconnected(reason: string): void;
  /** Called when an attempt to connect failed for another reason than a timeout. */
  onAttemptFailed(reason: string): void;
  /** Sends a connection request to the hub through the open sockets. */
  requestConnection(deadline: Deadline): Promise<Reply>;
  /** Called when the hub has replied on a new connection. */
  onReconnected(reply: Reply, previousConnection: Connection): void;
}

/** How long an attempt waits for the hub's reply. If the hub is linked but busy, the time doubles with each attempt. */
const ATTEMPT_MS = 10_000;
const MAX_ATTEMPT_MS = 60_000;
/** The pause after an attempt that failed at once. */
const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 2_000;
/** If a connection breaks within this time, a pause precedes the next attempt, to limit the load of repeated failures. */
const MIN_STABLE_MS = 5_000;
/** The interval of reading the connection file while the controller cannot be reached. */
const FILE_INTERVAL_MS = 500;
/** How long the other sockets may take to be linked after the hub's reply. */
const LINKS_TIMEOUT_MS = 5_000;
/** How long the client waits for the links to break after the controller announced its shutdown. */
const SHUTDOWN_TIMEOUT_MS = 5_000;

/** Opens connections one after another, each with new sockets, until the hub replies. */
export class Reconnector<Reply> {
  readonly #transport: Transport;
  readonly #source: ConnectionSource;
  readonly #events: ConnectionEvents<Reply>;
  readonly #closeController = new AbortController();
  #isRunning = false;
  #attempt: AbortController | undefined;
  #onAllLinked: (() => void) | undefined;
  #shutdownTimer: NodeJS.Timeout | undefined;
  #connectedSince = Number.NEGATIVE_INFINITY;
  #pause = 0;
  #fatalError: Error | undefined;

  constructor(transport: Transport, source: ConnectionSource, events: ConnectionEvents<Reply>) {
    this.#transport = transport;
    this.#source = source;
    this.#events = events;
  }

  /**
   * Opens the first connection: opens the sockets and waits for the hub's reply. If the links break or the connection file
   * changes because the controller restarts, it tries again within the same deadline.
   */
  async openFirst(connection: Connection, deadline: Deadline): Promise<Reply> {
    for (let next = connection; ; next = await this.#source.reopen(next, deadline)) {
      const attempt = new AbortController();
      this.#attempt = attempt;
      const signals = [attempt.signal, this.#closeController.signal];
      const signal = AbortSignal.any(deadline.signal === undefined ? signals : [...signals, deadline.signal]);
      this.#transport.renew(next);
      void this.#watchFile(next, attempt, signal);
      try {
        return await this.requestConnection(
          startDeadline({ timeout: deadline.remaining(), signal }, 0),
          signal,
        );
      } catch (error) {
        if (this.#fatalError !== undefined) throw this.#fatalError;
        const isOver = this.#closeController.signal.aborted || deadline.signal?.aborted === true;
        if (isOver || !attempt.signal.aborted || deadline.remaining() === 0) throw error;
      } finally {
        this.#attempt = undefined;
        attempt.abort();
      }
      await pause(FIRST_PAUSE_MS, this.#closeController.signal);
      if (this.#fatalError !== undefined) throw this.#fatalError;
    }
  }

  /** Fails {@link openFirst} at once, because the ssh tunnel ended. */
  failFirstConnection(error: Error): void {
    this.#fatalError = error;
    this.#attempt?.abort(error);
  }

  /** Starts to react to disconnects, after the first connection. */
  enableReconnection(): void {
    this.#connectedSince = performance.now();
  }

  /** Handles a broken link of the current sockets. */
  onBroken(reason: string): void {
    clearTimeout(this.#shutdownTimer);
    if (this.#closeController.signal.aborted) return;
    if (this.#isRunning || this.#attempt !== undefined) this.#attempt?.abort(new Error(reason));
    else if (this.#connectedSince === Number.NEGATIVE_INFINITY) return;
    else void this.#run(reason);
  }

  /** Handles the shutdown notification of the controller. */
  onStopping(reason: string): void {
    if (this.#isRunning) return;
    this.#events.onDisconnected(reason);
    this.#shutdownTimer = setTimeout(() => this.onBroken(reason), SHUTDOWN_TIMEOUT_MS);
    this.#shutdownTimer.unref();
  }

  /** Sends a connection request and waits, for a limited time, until every socket is linked. */
  async requestConnection(deadline: Deadline, signal?: AbortSignal): Promise<Reply> {
    const reply = await this.#events.requestConnection(deadline);
    if (this.#transport.complete) return reply;
    await this.#waitUntilComplete(
      Math.min(LINKS_TIMEOUT_MS, deadline.remaining() / 2),
      signal ?? this.#closeController.signal,
    );
    signal?.throwIfAborted();
    // Notifications on a socket without a link were lost, so the request is repeated.
    return await this.#events.requestConnection(deadline);
  }

  /** Handles the notice that every current socket is linked. */
  onComplete(): void {
    this.#onAllLinked?.();
  }

  /** Stops all attempts. */
  close(): void {
    clearTimeout(this.#shutdownTimer);
    this.#closeController.abort(new Error('the client was closed'));
  }

  async #run(reason: string): Promise<void> {
    this.#isRunning = true;
    this.#events.onDisconnected(reason);
    this.#transport.closeSockets();
    if (performance.now() - this.#connectedSince < MIN_STABLE_MS) this.#lengthenPause();
    else this.#pause = 0;
    let timeout = ATTEMPT_MS;
    const { signal } = this.#closeController;
    for (;;) {
      await pause(this.#pause, signal);
      if (signal.aborted) return;
      const startTime = performance.now();
      try {
        await this.#attemptConnection(timeout);
        this.#connectedSince = performance.now();
        this.#isRunning = false;
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof TimeoutError) {
          if (this.#transport.hubLinked) timeout = Math.min(2 * timeout, MAX_ATTEMPT_MS);
        } else if (!(error instanceof FileChangedError)) this.#events.onAttemptFailed(messageOf(error));
        if (error instanceof FileChangedError) this.#pause = 0;
        else if (performance.now() - startTime < MIN_STABLE_MS) this.#lengthenPause();
      }
    }
  }

  async #attemptConnection(timeout: number): Promise<void> {
    const attempt = new AbortController();
    this.#attempt = attempt;
    const signal = AbortSignal.any([attempt.signal, this.#closeController.signal]);
    const deadline = startDeadline({ timeout, signal }, timeout);
    const previousConnection = this.#transport.connection;
    try {
      const connection = await this.#source.reopen(previousConnection, deadline);
      if (signal.aborted) {
        if (connection !== previousConnection) await connection.close();
        signal.throwIfAborted();
      }
      this.#transport.renew(connection);
      void this.#watchFile(connection, attempt, signal);
      const reply = await this.requestConnection(deadline, signal);
      signal.throwIfAborted();
      this.#events.onReconnected(reply, previousConnection);
    } finally {
      this.#attempt = undefined;
      attempt.abort();
    }
  }

  async #waitUntilComplete(timeout: number, signal: AbortSignal): Promise<void> {
    const completeController = new AbortController();
    this.#onAllLinked = () => completeController.abort();
    await pause(timeout, AbortSignal.any([completeController.signal, signal]));
    this.#onAllLinked = undefined;
  }

  async #watchFile(connection: Connection, attempt: AbortController, signal: AbortSignal): Promise<void> {
    for (;;) {
      await pause(FILE_INTERVAL_MS, signal);
      if (signal.aborted) return;
      if (await this.#source.hasFileChanged(connection)) attempt.abort(new FileChangedError());
    }
  }

  #lengthenPause(): void {
    this.#pause = Math.min(Math.max(2 * this.#pause, FIRST_PAUSE_MS), MAX_PAUSE_MS);
  }
}

/** Ends an attempt, because the connection file contains another connection than the attempt uses. */
class FileChangedError extends Error {}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
