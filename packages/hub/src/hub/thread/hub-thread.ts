import { Worker } from 'node:worker_threads';
import { type EngineConnectionInfo, IpyparallelError, UsageError } from '@ipyparallel-js/protocol';
import type { Logger, LogSink } from '@ipyparallel-js/wire';
import { LinkCounts } from '../../thread-link/link-counts.js';
import type { Monitor, Schedulers } from '../../thread-link/schedulers.js';
import { HubLink, receiveForSchedulers } from '../../thread-link/thread-link.js';
import type { HubThreadCommand, HubThreadData, HubThreadNotice } from './thread-messages.js';

/** How long the hub may take to write its queued changes after a stop command, in ms. */
const STOP_TIMEOUT = 1500;
/** How long the hub may take to close its socket after an abandon command, in ms. */
const ABANDON_TIMEOUT = 500;

/** Closes the sockets of all running threads: zeromq.js aborts a process that exits with an open socket in a thread. */
const openThreads = new Set<() => void>();

function abandonAll(): void {
  for (const abandon of openThreads) abandon();
}

/** A hub and its query socket in a separate thread, so that neither a slow query nor a slow disk delays a task. */
export class HubThread {
  /** The port of the query socket. */
  readonly port: number;
  readonly monitor: Monitor;
  /** Resolves when the thread has ended after {@link stop}; rejects when it failed. */
  readonly ended: Promise<void>;
  readonly #worker: Worker;
  readonly #counts: LinkCounts;
  readonly #schedulers: SchedulersRef;
  readonly #readyPromise: Promise<void>;
  readonly #log: Logger;

  private constructor(thread: Thread, port: number, log: Logger) {
    this.port = port;
    this.#log = log;
    this.#worker = thread.worker;
    this.#counts = thread.counts;
    this.#schedulers = thread.schedulers;
    this.#readyPromise = thread.ready;
    this.ended = thread.ended;
    this.monitor = thread.link.monitor;
  }

  /**
   * Starts the thread and binds its socket.
   * @throws {UsageError} when the address cannot be bound
   */
  static async open(data: Omit<HubThreadData, 'counts'>, log: Logger, sink: LogSink): Promise<HubThread> {
    const thread = startThread(data, log, sink);
    const port = await Promise.race([thread.bound, thread.ended]);
    if (port === undefined) throw new Error('the hub thread ended before its socket was bound');
    return new HubThread(thread, port, log);
  }

  /** Resolves when the hub serves. */
  async begin(connectionInfo: Partial<EngineConnectionInfo>, schedulers: Schedulers): Promise<void> {
    this.#schedulers.current = schedulers;
    this.#post({ type: 'begin', connectionInfo });
    await Promise.race([this.#readyPromise, this.ended]);
  }

  /** Lets the hub write its queued changes, then ends the thread. */
  async stop(): Promise<void> {
    this.#post({ type: 'stop' });
    if (await this.#endsWithin(STOP_TIMEOUT)) return;
    this.#post({ type: 'abandon' });
    if ((await this.#endsWithin(ABANDON_TIMEOUT)) || this.#counts.isAbandoned) {
      await this.#worker.terminate();
      return;
    }
    this.#log.error(
      `the hub thread did not end within ${STOP_TIMEOUT + ABANDON_TIMEOUT} ms; the controller ends without it`,
    );
    this.#worker.unref();
  }

  #post(command: HubThreadCommand): void {
    this.#worker.postMessage(command);
  }

  async #endsWithin(timeout: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const timedOut = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), timeout);
    });
    const ended = this.ended.then(
      () => true,
      () => true,
    );
    const hasEnded = await Promise.race([ended, timedOut]);
    clearTimeout(timer);
    return hasEnded;
  }
}

/** The target of the hub's calls, which `begin` sets. */
interface SchedulersRef {
  current: Schedulers | undefined;
}

interface Thread {
  readonly worker: Worker;
  readonly counts: LinkCounts;
  readonly link: HubLink;
  readonly schedulers: SchedulersRef;
  readonly bound: Promise<number>;
  readonly ready: Promise<void>;
  readonly ended: Promise<void>;
}

function startThread(data: Omit<HubThreadData, 'counts'>, log: Logger, sink: LogSink): Thread {
  const onFailure = (error: unknown): void => log.error('a call of the hub to the schedulers failed', error);
  const counts = new LinkCounts();
  const workerData: HubThreadData = { ...data, counts: counts.shared };
  const worker = new Worker(new URL('./hub-worker.js', import.meta.url), { workerData });
  const link = new HubLink(worker, counts);
  const schedulers: SchedulersRef = { current: undefined };
  let failure: unknown;
  const ended = new Promise<void>((resolve, reject) => {
    worker.once('error', (error) => {
      failure = error;
    });
    // Reject at the exit instead of the error event, because a "failed" notice, which is more exact, may still arrive.
    worker.once('exit', (code) =>
      code === 0 ? resolve() : reject(failure ?? new Error(`the hub thread exited with code ${code}`)),
    );
  });
  closeAtExit(worker, counts, ended);
  // The rejection must not end the process if nothing awaits it.
  ended.catch(() => {});
  let onBound: (port: number) => void = () => {};
  const bound = new Promise<number>((resolve) => {
    onBound = resolve;
  });
  const ready = new Promise<void>((resolve) => {
    worker.on('message', (message: ArrayBuffer | HubThreadNotice) => {
      if (message instanceof ArrayBuffer) {
        if (schedulers.current === undefined) return;
        const count = receiveForSchedulers(message, schedulers.current, onFailure);
        if (counts.addCalls(count)) worker.postMessage({ type: 'done' } satisfies HubThreadCommand);
        return;
      }
      switch (message.type) {
        case 'bound':
          onBound(message.port);
          break;
        case 'ready':
          resolve();
          break;
        case 'copies':
          link.flush();
          break;
        case 'failed':
          failure = errorOf(message);
          break;
        case 'log':
          sink(message.level, message.line);
      }
    });
  });
  return { worker, counts, link, schedulers, bound, ready, ended };
}

function closeAtExit(worker: Worker, counts: LinkCounts, ended: Promise<void>): void {
  const abandon = (): void => {
    worker.postMessage({ type: 'abandon' } satisfies HubThreadCommand);
    counts.blockUntilAbandoned(ABANDON_TIMEOUT);
  };
  if (openThreads.size === 0) process.on('exit', abandonAll);
  openThreads.add(abandon);
  const removeThread = (): void => {
    openThreads.delete(abandon);
    if (openThreads.size === 0) process.removeListener('exit', abandonAll);
  };
  ended.then(removeThread, removeThread);
}

function errorOf({ code, message }: Extract<HubThreadNotice, { type: 'failed' }>): Error {
  if (code === undefined) return new Error(message);
  return code === new UsageError('').code ? new UsageError(message) : new IpyparallelError(code, message);
}
