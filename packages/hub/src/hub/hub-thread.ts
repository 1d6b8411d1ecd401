import { Worker } from 'node:worker_threads';
import { type EngineConnectionInfo, IpyparallelError } from '@ipyparallel-js/protocol';
import type { Logger, LogLevel, LogSink } from '@ipyparallel-js/wire';
import type { DatabaseOptions } from '../db/open-database.js';
import { HubLink, receiveForSchedulers } from '../link/hub-port.js';
import type { Monitor, Schedulers } from '../link/schedulers.js';
import type { SubscriptionLimits } from './subscriptions/subscriptions.js';

/** What a hub is told when its thread starts; plain data. */
export interface HubThreadData {
  readonly key: string;
  readonly pack: string;
  readonly unpack: string;
  readonly signatureScheme: string;
  readonly connectionInfo: Partial<EngineConnectionInfo>;
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

/** What the thread says besides its batches. */
export type HubThreadNotice =
  | { readonly type: 'ready' }
  /** It cannot start, and why. */
  | { readonly type: 'failed'; readonly code: string; readonly message: string }
  | { readonly type: 'log'; readonly level: Parameters<LogSink>[0]; readonly line: string };

/** How long a hub may take to write what it has when it is told to end, in ms. */
const STOP_TIMEOUT = 1500;

/** A hub in a thread of its own: neither a slow query nor a slow disk holds up a task. */
export class HubThread {
  readonly monitor: Monitor;
  /** Rejects when the thread fails; resolves when it has ended as told. */
  readonly ended: Promise<void>;
  readonly #worker: Worker;

  private constructor(worker: Worker, ended: Promise<void>) {
    this.#worker = worker;
    this.ended = ended;
    this.monitor = new HubLink(worker);
  }

  /** Starts the thread and waits until it can take requests. */
  static async start(
    data: HubThreadData,
    schedulers: Schedulers,
    log: Logger,
    sink: LogSink,
  ): Promise<HubThread> {
    const onFailure = (error: unknown): void => log.error('a message of the hub could not be handled', error);
    const worker = new Worker(new URL('./hub-worker.js', import.meta.url), { workerData: data });
    const ended = new Promise<void>((resolve, reject) => {
      let failure: unknown;
      worker.once('error', (error) => {
        failure = error;
      });
      // Not at the error: what the thread said before may still be on its way, and says it better.
      worker.once('exit', (code) =>
        code === 0 ? resolve() : reject(failure ?? new Error(`the hub's thread ended (${code})`)),
      );
    });
    // Whoever waits for it hears of it; nobody waiting is no reason to end the process.
    ended.catch(() => {});
    const ready = new Promise<void>((resolve, reject) => {
      worker.on('message', (message: ArrayBuffer | HubThreadNotice) => {
        if (message instanceof ArrayBuffer) receiveForSchedulers(message, schedulers, onFailure);
        else if (message.type === 'log') sink(message.level, message.line);
        else if (message.type === 'failed') reject(new IpyparallelError(message.code, message.message));
        else resolve();
      });
    });
    await Promise.race([ready, ended]);
    return new HubThread(worker, ended);
  }

  /** Lets the hub write what it has, then ends the thread. */
  async stop(): Promise<void> {
    this.#worker.postMessage({ type: 'stop' });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, STOP_TIMEOUT);
    });
    await Promise.race([this.ended.catch(() => {}), late]);
    clearTimeout(timer);
    await this.#worker.terminate();
  }
}
