import { TimeoutError } from '@ipyparallel-js/protocol';
import { type Deadline, pause, startDeadline } from '@ipyparallel-js/wire';
import type { Connection } from './connection.js';
import type { ConnectionSource } from './connection-source.js';
import type { Transport } from './transport.js';

/** What a life of the connection means to the rest of the client. */
export interface ConnectionEvents<Greeting> {
  /** The connection broke; called once for each time. */
  onDown(reason: string): void;
  /** An attempt to connect failed for another reason than that nobody answers. */
  onTrouble(reason: string): void;
  /** Asks the hub, through the sockets that are open now, whether it is there. */
  greet(deadline: Deadline): Promise<Greeting>;
  /** The hub has answered. `before` is how the controller was reached until now. */
  onUp(greeting: Greeting, before: Connection): void;
}

/** How long an attempt waits for the hub's answer. A hub that listens and is busy gets more with each attempt. */
const ATTEMPT_MS = 10_000;
const LONGEST_ATTEMPT_MS = 60_000;
/** Between two attempts of which the first failed at once. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;
/** A connection that broke before this is followed by a pause, so that one that always breaks keeps nobody busy. */
const STABLE_MS = 5_000;
/** How often the connection file is looked at while the controller is out of reach. */
const FILE_MS = 500;
/** How long the other sockets may take to be linked once the hub has answered. */
const LINKS_MS = 5_000;
/** A controller that said that it stops is not talked to for so long, unless it breaks the links before. */
const STOPPING_MS = 5_000;

/** Opens one life of the connection after the other: fresh sockets each time, until the hub answers. */
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
  #hopeless: Error | undefined;

  constructor(transport: Transport, source: ConnectionSource, events: ConnectionEvents<Greeting>) {
    this.#transport = transport;
    this.#source = source;
    this.#events = events;
  }

  /**
   * The first life, by way of the connection that is given: opens the sockets and waits for the hub's answer. A controller
   * that is being restarted breaks the links, or writes its file anew: then there is another attempt, in the same time.
   */
  async first(connection: Connection, deadline: Deadline): Promise<Greeting> {
    for (let next = connection; ; next = await this.#source.again(next, deadline)) {
      const attempt = new AbortController();
      this.#attempt = attempt;
      const signals = [attempt.signal, this.#closing.signal];
      const signal = AbortSignal.any(deadline.signal === undefined ? signals : [...signals, deadline.signal]);
      this.#transport.renew(next);
      void this.#watchFile(next, attempt, signal);
      try {
        return await this.greet(startDeadline({ timeout: deadline.remaining(), signal }, 0), signal);
      } catch (error) {
        if (this.#hopeless !== undefined) throw this.#hopeless;
        const over = this.#closing.signal.aborted || deadline.signal?.aborted === true;
        if (over || !attempt.signal.aborted || deadline.remaining() === 0) throw error;
      } finally {
        this.#attempt = undefined;
        attempt.abort();
      }
      await pause(FIRST_PAUSE_MS, this.#closing.signal);
      if (this.#hopeless !== undefined) throw this.#hopeless;
    }
  }

  /** Ends {@link first}: what it goes by is gone, and its user is to know why at once. */
  giveUp(error: Error): void {
    this.#hopeless = error;
    this.#attempt?.abort(error);
  }

  /** The first connection is there: from now on a break is noticed. */
  started(): void {
    this.#upSince = performance.now();
  }

  /** A link of the present sockets is lost. */
  onBroken(reason: string): void {
    clearTimeout(this.#stopping);
    if (this.#closing.signal.aborted) return;
    if (this.#running || this.#attempt !== undefined) this.#attempt?.abort(new Error(reason));
    else if (this.#upSince === Number.NEGATIVE_INFINITY) return;
    else void this.#run(reason);
  }

  /** The controller has said that it stops. */
  onStopping(reason: string): void {
    if (this.#running) return;
    this.#events.onDown(reason);
    this.#stopping = setTimeout(() => this.onBroken(reason), STOPPING_MS);
    this.#stopping.unref();
  }

  /** Asks the hub whether it is there, and has every socket linked before that is known, as far as that takes no age. */
  async greet(deadline: Deadline, signal?: AbortSignal): Promise<Greeting> {
    const greeting = await this.#events.greet(deadline);
    if (this.#transport.complete) return greeting;
    await this.#untilComplete(Math.min(LINKS_MS, deadline.remaining() / 2), signal ?? this.#closing.signal);
    signal?.throwIfAborted();
    // What was said on a socket that had no link yet is not known: asked now, the hub tells it.
    return await this.#events.greet(deadline);
  }

  /** Every socket of the present life has a link. */
  onComplete(): void {
    this.#complete?.();
  }

  /** Ends it. */
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
      const connection = await this.#source.again(before, deadline);
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

/** The connection file tells another way to the controller than the one that is being tried. */
class FileChanged extends Error {}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
