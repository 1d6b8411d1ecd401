import { TimeoutError } from '@ipyparallel-js/protocol';
import { type Deadline, pause, startDeadline } from '@ipyparallel-js/wire';
import type { Connection } from './connection.js';
import type { ConnectionSource } from './connection-source.js';
import type { Transport } from './transport.js';

export interface ConnectionEvents<Greeting> {
  /** The connection broke; called once for each disconnect. */
  onDown(reason: string): void;
  /** An attempt to connect failed for another reason than a timeout. */
  onTrouble(reason: string): void;
  /** Sends a connection request to the hub through the open sockets. */
  greet(deadline: Deadline): Promise<Greeting>;
  /** The hub replied. `before` is the previous connection. */
  onUp(greeting: Greeting, before: Connection): void;
}

/** How long an attempt waits for the hub's reply. If the hub is linked but busy, the time doubles with each attempt. */
const ATTEMPT_MS = 10_000;
const LONGEST_ATTEMPT_MS = 60_000;
/** The pause after an attempt that failed at once. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;
/** If a connection breaks within this time, a pause precedes the next attempt, to limit the load of repeated failures. */
const STABLE_MS = 5_000;
/** The interval of reading the connection file while the controller cannot be reached. */
const FILE_MS = 500;
/** How long the other sockets may take to be linked after the hub's reply. */
const LINKS_MS = 5_000;
/** How long the client waits for the links to break after the controller announced its shutdown. */
const STOPPING_MS = 5_000;

/** Opens connections one after another, each with new sockets, until the hub replies. */
export class Reconnector<Greeting> {
  readonly #transport: Transport;
  readonly #source: ConnectionSource;
  readonly #events: ConnectionEvents<Greeting>;
  readonly #closing = new AbortController();
  #running = false;
  #attempt: AbortController | undefined;
  #complete: (() => void) | undefined;
  #stopping: NodeJS.Timeout | undefined;
  #upSince = Number.NEGATIVE_INFINITY;
  #pause = 0;
  #fatalError: Error | undefined;

  constructor(transport: Transport, source: ConnectionSource, events: ConnectionEvents<Greeting>) {
    this.#transport = transport;
    this.#source = source;
    this.#events = events;
  }

  /**
   * Opens the first connection: opens the sockets and waits for the hub's reply. If the links break or the connection file
   * changes because the controller restarts, it tries again within the same deadline.
   */
  async first(connection: Connection, deadline: Deadline): Promise<Greeting> {
    for (let next = connection; ; next = await this.#source.reopen(next, deadline)) {
      const attempt = new AbortController();
      this.#attempt = attempt;
      const signals = [attempt.signal, this.#closing.signal];
      const signal = AbortSignal.any(deadline.signal === undefined ? signals : [...signals, deadline.signal]);
      this.#transport.renew(next);
      void this.#watchFile(next, attempt, signal);
      try {
        return await this.greet(startDeadline({ timeout: deadline.remaining(), signal }, 0), signal);
      } catch (error) {
        if (this.#fatalError !== undefined) throw this.#fatalError;
        const over = this.#closing.signal.aborted || deadline.signal?.aborted === true;
        if (over || !attempt.signal.aborted || deadline.remaining() === 0) throw error;
      } finally {
        this.#attempt = undefined;
        attempt.abort();
      }
      await pause(FIRST_PAUSE_MS, this.#closing.signal);
      if (this.#fatalError !== undefined) throw this.#fatalError;
    }
  }

  /** Fails {@link first} at once, because the ssh tunnel ended. */
  giveUp(error: Error): void {
    this.#fatalError = error;
    this.#attempt?.abort(error);
  }

  /** Starts to react to disconnects, after the first connection. */
  started(): void {
    this.#upSince = performance.now();
  }

  /** Handles a broken link of the current sockets. */
  onBroken(reason: string): void {
    clearTimeout(this.#stopping);
    if (this.#closing.signal.aborted) return;
    if (this.#running || this.#attempt !== undefined) this.#attempt?.abort(new Error(reason));
    else if (this.#upSince === Number.NEGATIVE_INFINITY) return;
    else void this.#run(reason);
  }

  /** Handles the shutdown notification of the controller. */
  onStopping(reason: string): void {
    if (this.#running) return;
    this.#events.onDown(reason);
    this.#stopping = setTimeout(() => this.onBroken(reason), STOPPING_MS);
    this.#stopping.unref();
  }

  /** Sends a connection request and waits, for a limited time, until every socket is linked. */
  async greet(deadline: Deadline, signal?: AbortSignal): Promise<Greeting> {
    const greeting = await this.#events.greet(deadline);
    if (this.#transport.complete) return greeting;
    await this.#untilComplete(Math.min(LINKS_MS, deadline.remaining() / 2), signal ?? this.#closing.signal);
    signal?.throwIfAborted();
    // Notifications on a socket without a link were lost, so the request is repeated.
    return await this.#events.greet(deadline);
  }

  /** Handles that every current socket is linked. */
  onComplete(): void {
    this.#complete?.();
  }

  /** Stops all attempts. */
  close(): void {
    clearTimeout(this.#stopping);
    this.#closing.abort(new Error('the client was closed'));
  }

  async #run(reason: string): Promise<void> {
    this.#running = true;
    this.#events.onDown(reason);
    this.#transport.abandon();
    if (performance.now() - this.#upSince < STABLE_MS) this.#lengthenPause();
    else this.#pause = 0;
    let timeout = ATTEMPT_MS;
    const { signal } = this.#closing;
    for (;;) {
      await pause(this.#pause, signal);
      if (signal.aborted) return;
      const began = performance.now();
      try {
        await this.#try(timeout);
        this.#upSince = performance.now();
        this.#running = false;
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof TimeoutError) {
          if (this.#transport.hubLinked) timeout = Math.min(2 * timeout, LONGEST_ATTEMPT_MS);
        } else if (!(error instanceof FileChanged)) this.#events.onTrouble(messageOf(error));
        if (error instanceof FileChanged) this.#pause = 0;
        else if (performance.now() - began < STABLE_MS) this.#lengthenPause();
      }
    }
  }

  async #try(timeout: number): Promise<void> {
    const attempt = new AbortController();
    this.#attempt = attempt;
    const signal = AbortSignal.any([attempt.signal, this.#closing.signal]);
    const deadline = startDeadline({ timeout, signal }, timeout);
    const before = this.#transport.connection;
    try {
      const connection = await this.#source.reopen(before, deadline);
      if (signal.aborted) {
        if (connection !== before) await connection.close();
        signal.throwIfAborted();
      }
      this.#transport.renew(connection);
      void this.#watchFile(connection, attempt, signal);
      const greeting = await this.greet(deadline, signal);
      signal.throwIfAborted();
      this.#events.onUp(greeting, before);
    } finally {
      this.#attempt = undefined;
      attempt.abort();
    }
  }

  async #untilComplete(timeout: number, signal: AbortSignal): Promise<void> {
    const complete = new AbortController();
    this.#complete = () => complete.abort();
    await pause(timeout, AbortSignal.any([complete.signal, signal]));
    this.#complete = undefined;
  }

  async #watchFile(connection: Connection, attempt: AbortController, signal: AbortSignal): Promise<void> {
    for (;;) {
      await pause(FILE_MS, signal);
      if (signal.aborted) return;
      if (await this.#source.changed(connection)) attempt.abort(new FileChanged());
    }
  }

  #lengthenPause(): void {
    this.#pause = Math.min(Math.max(2 * this.#pause, FIRST_PAUSE_MS), LONGEST_PAUSE_MS);
  }
}

/** The connection file contains another connection than the current attempt uses. */
class FileChanged extends Error {}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
