import { Worker } from 'node:worker_threads';
import type { TaskKey } from '@ipyparallel-js/protocol';
import type { QueryNode } from '@ipyparallel-js/protocol/internal';
import type { PackedRows } from './packed-rows.js';
import type { OnBadRow, PackedPage, PageSearch, Search } from './task-reader.js';

/** What a reader's thread is told when it starts. */
export interface ReaderData {
  readonly file: string;
  readonly table: string;
  readonly columns: readonly TaskKey[];
  /** How long it waits for a lock, in ms. */
  readonly timeout: number;
  readonly cacheKiB: number;
}

type Question =
  /** Answered with the first rows; `next` brings more, until an answer has none. */
  | { readonly op: 'search'; readonly search: Search; readonly keys: readonly TaskKey[] }
  | { readonly op: 'page'; readonly search: PageSearch }
  | { readonly op: 'count'; readonly query: QueryNode }
  | { readonly op: 'tasks'; readonly msgIds: readonly string[]; readonly keys: readonly TaskKey[] }
  | { readonly op: 'history' | 'next' | 'end' | 'checkpoint' | 'close' };

export type ReaderRequest = Question & { readonly id: number };

export interface ReaderAnswer {
  readonly id: number;
  readonly rows?: PackedRows;
  readonly count?: number;
  readonly page?: PackedPage;
  readonly failure?: { readonly code: string | undefined; readonly message: string };
  readonly bad?: { readonly row: string; readonly problem: string };
}

interface Waiting {
  readonly resolve: (answer: ReaderAnswer) => void;
  readonly reject: (error: Error) => void;
}

/** A reader in a thread of its own. */
class ReaderThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly ended: Promise<void>;
  #failed = false;

  constructor(data: ReaderData, onBadRow: OnBadRow) {
    this.#worker = new Worker(new URL('./reader-worker.js', import.meta.url), { workerData: data });
    // The process may end while nobody waits for an answer.
    this.#worker.unref();
    this.#worker.on('message', (answer: ReaderAnswer) => {
      if (answer.bad !== undefined) {
        onBadRow(answer.bad.row, answer.bad.problem);
        return;
      }
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if (answer.failure === undefined) waiting?.resolve(answer);
      else waiting?.reject(new Error(answer.failure.message));
      if (this.#waiting.size === 0) this.#worker.unref();
    });
    this.ended = new Promise((resolve) => {
      this.#worker.once('error', (error) => this.#end(error, resolve));
      this.#worker.once('exit', () => this.#end(new Error('the thread that reads has ended'), resolve));
    });
  }

  get busy(): number {
    return this.#waiting.size;
  }

  get failed(): boolean {
    return this.#failed;
  }

  ask(request: ReaderRequest): Promise<ReaderAnswer> {
    return new Promise((resolve, reject) => {
      this.#waiting.set(request.id, { resolve, reject });
      this.#worker.ref();
      this.tell(request);
    });
  }

  tell(request: ReaderRequest): void {
    this.#worker.postMessage(request);
  }

  async close(): Promise<void> {
    this.#worker.ref();
    this.tell({ id: 0, op: 'close' });
    const timer = setTimeout(() => void this.#worker.terminate(), 1000);
    await this.ended;
    clearTimeout(timer);
  }

  #end(error: Error, ended: () => void): void {
    this.#failed = true;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    ended();
  }
}

/** So many questions can be worked on at once. */
const MOST_THREADS = 2;

/** Readers, started when they are needed: a short question need not wait behind a long one. */
export class Readers {
  readonly #data: ReaderData;
  readonly #onBadRow: OnBadRow;
  #threads: ReaderThread[] = [];
  #ids = 0;
  #closed = false;

  constructor(data: ReaderData, onBadRow: OnBadRow) {
    this.#data = data;
    this.#onBadRow = onBadRow;
  }

  async count(query: QueryNode): Promise<number> {
    const { count = 0 } = await this.#thread().ask({ id: ++this.#ids, op: 'count', query });
    return count;
  }

  async tasks(msgIds: readonly string[], keys: readonly TaskKey[]): Promise<PackedRows | undefined> {
    return (await this.#thread().ask({ id: ++this.#ids, op: 'tasks', msgIds, keys })).rows;
  }

  async page(search: PageSearch): Promise<PackedPage | undefined> {
    return (await this.#thread().ask({ id: ++this.#ids, op: 'page', search })).page;
  }

  async history(): Promise<PackedRows | undefined> {
    return (await this.#thread().ask({ id: ++this.#ids, op: 'history' })).rows;
  }

  /** Moves the write-ahead log into the file, as far as nobody reads from it. */
  async checkpoint(): Promise<void> {
    await this.#thread().ask({ id: ++this.#ids, op: 'checkpoint' });
  }

  /** The rows of all matches; the next ones are read while the last are worked on. */
  async *search(search: Search, keys: readonly TaskKey[]): AsyncGenerator<PackedRows> {
    const thread = this.#thread();
    const id = ++this.#ids;
    let answer = await thread.ask({ id, op: 'search', search, keys });
    try {
      while (answer.rows !== undefined) {
        const next = thread.ask({ id, op: 'next' });
        // It is awaited below, unless nobody wants it any more.
        next.catch(() => {});
        yield answer.rows;
        answer = await next;
      }
    } finally {
      if (answer.rows !== undefined) thread.tell({ id, op: 'end' });
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }

  #thread(): ReaderThread {
    if (this.#closed) throw new Error('the Task Database is closed');
    this.#threads = this.#threads.filter((thread) => !thread.failed);
    const idle = this.#threads.find((thread) => thread.busy === 0);
    if (idle !== undefined) return idle;
    if (this.#threads.length < MOST_THREADS) {
      const thread = new ReaderThread(this.#data, this.#onBadRow);
      this.#threads.push(thread);
      return thread;
    }
    return this.#threads.reduce((a, b) => (b.busy < a.busy ? b : a));
  }
}
