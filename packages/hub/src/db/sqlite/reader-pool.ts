import { Worker } from 'node:worker_threads';
import type { TaskKey } from '@ipyparallel-js/protocol';
import type { QueryNode } from '@ipyparallel-js/protocol/internal';
import type { PackedPage, PageSearch } from './json-page-reader.js';
import type { PackedRows } from './packed-rows.js';
import type { OnUnreadableRow, Search } from './task-reader.js';

export interface ReaderData {
  readonly file: string;
  readonly table: string;
  readonly columns: readonly TaskKey[];
  /** Time to wait for a lock, in ms. */
  readonly timeout: number;
  readonly cacheKiB: number;
}

type ReaderOperation =
  /** Replies with the first rows. Each `next` replies with more, until a reply has none. */
  | { readonly op: 'search'; readonly search: Search; readonly keys: readonly TaskKey[] }
  | { readonly op: 'page'; readonly search: PageSearch }
  | { readonly op: 'count'; readonly query: QueryNode }
  | { readonly op: 'tasks'; readonly msgIds: readonly string[]; readonly keys: readonly TaskKey[] }
  | { readonly op: 'history' | 'next' | 'end' | 'checkpoint' | 'close' };

export type ReaderRequest = ReaderOperation & { readonly id: number };

export interface ReaderReply {
  readonly id: number;
  readonly rows?: PackedRows;
  readonly count?: number;
  readonly page?: PackedPage;
  readonly failure?: { readonly code: string | undefined; readonly message: string };
  readonly unreadable?: { readonly row: string; readonly problem: string };
}

interface PendingRequest {
  readonly resolve: (reply: ReaderReply) => void;
  readonly reject: (error: Error) => void;
}

/** Time to wait for the end of a thread, in ms. A thread that is still busy then does not keep the process alive. */
const CLOSE_TIMEOUT = 10_000;

/** A worker thread that reads from the file. */
class ReaderThread {
  readonly #worker: Worker;
  readonly #pending = new Map<number, PendingRequest>();
  readonly exit: Promise<void>;
  #hasEnded = false;

  constructor(data: ReaderData, onUnreadableRow: OnUnreadableRow) {
    this.#worker = new Worker(new URL('./reader-worker.js', import.meta.url), { workerData: data });
    // Do not keep the process alive while no request is pending.
    this.#worker.unref();
    this.#worker.on('message', (reply: ReaderReply) => {
      if (reply.unreadable !== undefined) {
        onUnreadableRow(reply.unreadable.row, reply.unreadable.problem);
        return;
      }
      const pending = this.#pending.get(reply.id);
      this.#pending.delete(reply.id);
      if (reply.failure === undefined) pending?.resolve(reply);
      else pending?.reject(new Error(reply.failure.message));
      if (this.#pending.size === 0) this.#worker.unref();
    });
    this.exit = new Promise((resolve) => {
      this.#worker.once('error', (error) => this.#end(error, resolve));
      this.#worker.once('exit', () =>
        this.#end(new Error('the reader thread of the Task Database has ended'), resolve),
      );
    });
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  request(request: ReaderRequest): Promise<ReaderReply> {
    return new Promise((resolve, reject) => {
      this.#pending.set(request.id, { resolve, reject });
      this.#worker.ref();
      this.post(request);
    });
  }

  post(request: ReaderRequest): void {
    this.#worker.postMessage(request);
  }

  async close(): Promise<void> {
    this.#worker.ref();
    this.post({ id: 0, op: 'close' });
    // Do not terminate the thread: libsql aborts the process if its thread is terminated during a call.
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_TIMEOUT);
    });
    await Promise.race([this.exit, timeout]);
    clearTimeout(timer);
    this.#worker.unref();
  }

  #end(error: Error, onEnd: () => void): void {
    this.#hasEnded = true;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
    onEnd();
  }
}

/** Maximum number of requests that are processed at the same time. */
const MAX_THREADS = 2;

/** A pool of reader threads, started on demand, so that a short request need not wait for a long one. */
export class ReaderPool {
  readonly #readerData: ReaderData;
  readonly #onUnreadableRow: OnUnreadableRow;
  #threads: ReaderThread[] = [];
  #lastId = 0;
  #isClosed = false;

  constructor(data: ReaderData, onUnreadableRow: OnUnreadableRow) {
    this.#readerData = data;
    this.#onUnreadableRow = onUnreadableRow;
  }

  async count(query: QueryNode): Promise<number> {
    const { count = 0 } = await this.#pickThread().request({ id: ++this.#lastId, op: 'count', query });
    return count;
  }

  async readTasks(msgIds: readonly string[], keys: readonly TaskKey[]): Promise<PackedRows | undefined> {
    return (await this.#pickThread().request({ id: ++this.#lastId, op: 'tasks', msgIds, keys })).rows;
  }

  async readPage(search: PageSearch): Promise<PackedPage | undefined> {
    return (await this.#pickThread().request({ id: ++this.#lastId, op: 'page', search })).page;
  }

  async readHistory(): Promise<PackedRows | undefined> {
    return (await this.#pickThread().request({ id: ++this.#lastId, op: 'history' })).rows;
  }

  /** Copies the write-ahead log into the file, except the part that is being read. */
  async checkpoint(): Promise<void> {
    await this.#pickThread().request({ id: ++this.#lastId, op: 'checkpoint' });
  }

  /** Yields the rows of all matches. Reads the next rows while the caller processes the previous ones. */
  async *search(search: Search, keys: readonly TaskKey[]): AsyncGenerator<PackedRows> {
    const thread = this.#pickThread();
    const id = ++this.#lastId;
    let reply = await thread.request({ id, op: 'search', search, keys });
    try {
      while (reply.rows !== undefined) {
        const next = thread.request({ id, op: 'next' });
        // The loop awaits this request, unless the caller stops early.
        next.catch(() => {});
        yield reply.rows;
        reply = await next;
      }
    } finally {
      if (reply.rows !== undefined) thread.post({ id, op: 'end' });
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }

  #pickThread(): ReaderThread {
    if (this.#isClosed) throw new Error('the Task Database is closed');
    this.#threads = this.#threads.filter((thread) => !thread.hasEnded);
    const idle = this.#threads.find((thread) => thread.pendingCount === 0);
    if (idle !== undefined) return idle;
    if (this.#threads.length < MAX_THREADS) {
      const thread = new ReaderThread(this.#readerData, this.#onUnreadableRow);
      this.#threads.push(thread);
      return thread;
    }
    return this.#threads.reduce((a, b) => (b.pendingCount < a.pendingCount ? b : a));
  }
}
