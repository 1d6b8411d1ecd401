import { Worker } from 'node:worker_threads';
import { type EngineConnectionInfo, IpyparallelError, UsageError } from '@ipyparallel-js/protocol';
import type { Logger, LogLevel, LogSink } from '@ipyparallel-js/wire';
import type { DatabaseOptions } from '../../db/open-database.js';
import { HubLink, receiveForSchedulers } from '../../thread-link/hub-port.js';
import { LinkCounts } from '../../thread-link/link-counts.js';
import type { Monitor, SchedulerCalls } from '../../thread-link/schedulers.js';
import type { SubscriptionLimits } from '../subscriptions/subscriptions.js';

/** What a hub is told when its thread starts; plain data. */
export interface HubThreadData {
  readonly key: string;
  readonly pack: string;
  readonly unpack: string;
  readonly signatureScheme: string;
  /** Where its query socket is bound; port 0 for any free one. */
  readonly bind: {
    readonly interface: string;
    readonly port: number;
    readonly curveSecretKey: string | undefined;
  };
  /** Of {@link LinkCounts}. */
  readonly counts: SharedArrayBuffer;
  readonly hbPeriod: number;
  readonly registrationTimeout: number;
  /** What is done for live queries. */
  readonly subscriptions: Partial<SubscriptionLimits>;
  readonly db: DatabaseOptions;
  /** Where engines are written down. */
  readonly engineStateFile: string;
  /** Whether it goes on from where an earlier life ended. */
  readonly reuse: boolean;
  /** Whether engines are taken back. */
  readonly restore: boolean;
  readonly logLevel: LogLevel;
}

/** What the thread is told besides its batches. */
export type HubThreadOrder =
  /** What registering engines are told; the sockets of the traffic are bound. */
  | { readonly type: 'begin'; readonly connectionInfo: Partial<EngineConnectionInfo> }
  /** The schedulers have carried out what it told them. */
  | { readonly type: 'done' }
  /** Write what there is, and end. */
  | { readonly type: 'stop' }
  /** Close the socket and end, at once. */
  | { readonly type: 'abandon' };

/** What the thread says besides its batches. */
export type HubThreadNotice =
  | { readonly type: 'bound'; readonly port: number }
  | { readonly type: 'ready' }
  /** A request waits for the copies of traffic that are not sent yet. */
  | { readonly type: 'copies' }
  /** It ends, and why. */
  | { readonly type: 'failed'; readonly code?: string; readonly message: string }
  | { readonly type: 'log'; readonly level: Parameters<LogSink>[0]; readonly line: string };

/** How long a hub may take to write what it has when it is told to end, in ms. */
const STOP_TIMEOUT = 1500;
/** And then to let go of its socket. */
const ABANDON_TIMEOUT = 500;

/** The threads that may have a socket: zeromq.js aborts a process that ends with one. */
const open = new Set<() => void>();

function abandonAll(): void {
  for (const abandon of open) abandon();
}

/** A hub in a thread of its own, with its query socket: neither a slow query nor a slow disk holds up a task. */
export class HubThread {
  /** The port of its query socket. */
  readonly port: number;
  readonly monitor: Monitor;
  /** Rejects when the thread fails; resolves when it has ended as told. */
  readonly ended: Promise<void>;
  readonly #worker: Worker;
  readonly #counts: LinkCounts;
  readonly #calls: Calls;
  readonly #ready: Promise<void>;
  readonly #log: Logger;

  private constructor(thread: Thread, port: number, log: Logger) {
    this.port = port;
    this.#log = log;
    this.#worker = thread.worker;
    this.#counts = thread.counts;
    this.#calls = thread.calls;
    this.#ready = thread.ready;
    this.ended = thread.ended;
    this.monitor = thread.link;
  }

  /** Starts the thread and binds its socket. @throws UsageError naming the address when it is in use */
  static async open(data: Omit<HubThreadData, 'counts'>, log: Logger, sink: LogSink): Promise<HubThread> {
    const thread = startThread(data, log, sink);
    const port = await Promise.race([thread.bound, thread.ended]);
    if (port === undefined) throw new Error("the hub's thread ended before it began");
    return new HubThread(thread, port, log);
  }

  /** Has the hub serve, and waits until it does. */
  async begin(connectionInfo: Partial<EngineConnectionInfo>, schedulers: SchedulerCalls): Promise<void> {
    this.#calls.schedulers = schedulers;
    this.#tell({ type: 'begin', connectionInfo });
    await Promise.race([this.#ready, this.ended]);
  }

  /** Lets the hub write what it has, then ends the thread. */
  async stop(): Promise<void> {
    this.#tell({ type: 'stop' });
    if (await this.#endsWithin(STOP_TIMEOUT)) return;
    this.#tell({ type: 'abandon' });
    if ((await this.#endsWithin(ABANDON_TIMEOUT)) || this.#counts.abandoned) {
      await this.#worker.terminate();
      return;
    }
    this.#log.error("the hub's thread does not end; it is left behind");
    this.#worker.unref();
  }

  #tell(order: HubThreadOrder): void {
    this.#worker.postMessage(order);
  }

  async #endsWithin(timeout: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), timeout);
    });
    const ended = this.ended.then(
      () => true,
      () => true,
    );
    const has = await Promise.race([ended, late]);
    clearTimeout(timer);
    return has;
  }
}

/** Who carries out what the hub tells. */
interface Calls {
  schedulers: SchedulerCalls | undefined;
}

interface Thread {
  readonly worker: Worker;
  readonly counts: LinkCounts;
  readonly link: HubLink;
  readonly calls: Calls;
  readonly bound: Promise<number>;
  readonly ready: Promise<void>;
  readonly ended: Promise<void>;
}

function startThread(data: Omit<HubThreadData, 'counts'>, log: Logger, sink: LogSink): Thread {
  const onFailure = (error: unknown): void => log.error('a message of the hub could not be handled', error);
  const counts = new LinkCounts();
  const workerData: HubThreadData = { ...data, counts: counts.shared };
  const worker = new Worker(new URL('./hub-worker.js', import.meta.url), { workerData });
  const link = new HubLink(worker, counts);
  const calls: Calls = { schedulers: undefined };
  let failure: unknown;
  const ended = new Promise<void>((resolve, reject) => {
    worker.once('error', (error) => {
      failure = error;
    });
    // Not at the error: what the thread said before may still be on its way, and says it better.
    worker.once('exit', (code) =>
      code === 0 ? resolve() : reject(failure ?? new Error(`the hub's thread ended (${code})`)),
    );
  });
  closeAtExit(worker, counts, ended);
  // Whoever waits for it hears of it; nobody waiting is no reason to end the process.
  ended.catch(() => {});
  let onBound: (port: number) => void = () => {};
  const bound = new Promise<number>((resolve) => {
    onBound = resolve;
  });
  const ready = new Promise<void>((resolve) => {
    worker.on('message', (message: ArrayBuffer | HubThreadNotice) => {
      if (message instanceof ArrayBuffer) {
        const { schedulers } = calls;
        if (schedulers === undefined) return;
        const count = receiveForSchedulers(message, schedulers, onFailure);
        if (counts.addCalls(count)) worker.postMessage({ type: 'done' } satisfies HubThreadOrder);
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
  return { worker, counts, link, calls, bound, ready, ended };
}

function closeAtExit(worker: Worker, counts: LinkCounts, ended: Promise<void>): void {
  const abandon = (): void => {
    worker.postMessage({ type: 'abandon' } satisfies HubThreadOrder);
    counts.blockUntilAbandoned(ABANDON_TIMEOUT);
  };
  if (open.size === 0) process.on('exit', abandonAll);
  open.add(abandon);
  const done = (): void => {
    open.delete(abandon);
    if (open.size === 0) process.removeListener('exit', abandonAll);
  };
  ended.then(done, done);
}

function errorOf({ code, message }: Extract<HubThreadNotice, { type: 'failed' }>): Error {
  if (code === undefined) return new Error(message);
  return code === new UsageError('').code ? new UsageError(message) : new IpyparallelError(code, message);
}
