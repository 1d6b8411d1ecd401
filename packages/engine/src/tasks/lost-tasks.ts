import type { AnyMessage, Dict } from '@ipyparallel-js/protocol';
import { getOwn, isDict } from '@ipyparallel-js/protocol/internal';
import type { Logger } from '@ipyparallel-js/wire';
import type { Registrar } from '../connection/registrar.js';

export interface LostTaskDetectorOptions {
  readonly id: number;
  readonly registrar: Pick<Registrar, 'send'>;
  readonly log: Logger;
  /** Returns the given ids that the engine has not received. */
  readonly findUnreceived: (msgIds: readonly string[]) => readonly string[];
  /** Replies to a lost task with a failure, on the socket of its queue (`task` or `mux`). */
  readonly failTask: (queue: string, request: LostRequest) => void;
}

/** The Task Database's record of a request that the engine never received. */
export interface LostRequest {
  readonly header: Dict;
  readonly metadata: Dict;
  /** The session of its client. */
  readonly client: string;
}

/** How long a message may be in transit before its task counts as lost, in ms. */
const DELIVERY_TIME = 2000;

/** How many lost tasks one query covers. */
const MAX_TASKS = 1000;

/**
 * Finds tasks that a stock controller sent to this engine while its links were down. The controller's sockets drop such
 * messages silently, and its task scheduler, which sends an engine one task at a time, waits for a reply indefinitely.
 * The engine replies to those tasks with a failure: the scheduler continues and their records are completed.
 */
export class LostTaskDetector {
  readonly #options: LostTaskDetectorOptions;
  #suspectedIds: ReadonlySet<string> | undefined;
  #pendingRequest = '';
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LostTaskDetectorOptions) {
    this.#options = options;
  }

  /** Compares the hub's queue with the received tasks, twice: a task that is missing both times is lost. */
  check(): void {
    this.#suspectedIds = undefined;
    clearTimeout(this.#timer);
    this.#queryQueue();
  }

  /** Handles a message from the hub. */
  handleMessage({ msg_type: type, content, parent_header: parent }: AnyMessage): void {
    if (this.#pendingRequest === '' || getOwn(parent, 'msg_id') !== this.#pendingRequest) return;
    this.#pendingRequest = '';
    if (type === 'queue_reply') this.#compareQueue(content);
    else if (type === 'db_reply' && Array.isArray(content['records'])) this.#failAll(content['records']);
    else
      this.#options.log.warn(
        `cannot check for lost tasks: the hub replied ${type}: ${JSON.stringify(content['evalue'])}`,
      );
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #queryQueue(): void {
    const { id, registrar } = this.#options;
    this.#pendingRequest = registrar.send('queue_request', { targets: [id], verbose: true });
  }

  #compareQueue(content: Dict): void {
    const { id, registrar, log } = this.#options;
    const status = getOwn(content, String(id));
    if (!isDict(status)) return;
    const queued = [status['queue'], status['tasks']].flatMap((ids) => (Array.isArray(ids) ? ids : []));
    const unreceivedIds = this.#options.findUnreceived(queued.filter((msgId) => typeof msgId === 'string'));
    if (unreceivedIds.length === 0) return;
    const suspectedIds = this.#suspectedIds;
    if (suspectedIds === undefined) {
      this.#suspectedIds = new Set(unreceivedIds);
      this.#timer = setTimeout(() => this.#queryQueue(), DELIVERY_TIME);
      return;
    }
    const lostIds = unreceivedIds.filter((msgId) => suspectedIds.has(msgId)).slice(0, MAX_TASKS);
    if (lostIds.length === 0) return;
    log.warn(
      `${lostIds.length} tasks were sent to this engine while its links were down and are lost; replying to them with an EngineError`,
    );
    this.#pendingRequest = registrar.send('db_request', {
      query: { msg_id: { $in: lostIds } },
      keys: ['header', 'metadata', 'queue'],
    });
  }

  #failAll(records: readonly unknown[]): void {
    for (const record of records) {
      if (!isDict(record)) continue;
      const { header, metadata, queue } = record;
      if (!isDict(header) || typeof header['msg_id'] !== 'string' || typeof queue !== 'string') continue;
      if (header['msg_type'] !== 'execute_request' && header['msg_type'] !== 'apply_request') continue;
      if (this.#options.findUnreceived([header['msg_id']]).length === 0) continue;
      const client = String(header['session'] ?? '');
      this.#options.failTask(queue, { header, metadata: isDict(metadata) ? metadata : {}, client });
    }
  }
}
