import { UsageError } from '@ipyparallel-js/protocol';
import type { OptionNames } from '@ipyparallel-js/protocol/internal';
import { Fifo } from '@ipyparallel-js/wire';
import type { Task } from '../tasks/task.js';
import { checkCount } from './map-arguments.js';

/** Options of `imap`. */
export interface ImapOptions {
  /** Whether results come in the order of the elements, as by default, or as they are there. */
  readonly ordered?: boolean;
  /** How many tasks may be in flight; as many as there are engines by default. 0 sets no bound. */
  readonly maxOutstanding?: number;
  /** How many elements make a task, 1 by default. */
  readonly chunksize?: number;
  /** Gives errors in the places of the elements that failed, instead of throwing; false by default. */
  readonly returnExceptions?: boolean;
  /** Ends the map: what is waited for throws the signal's reason, and what has not begun is aborted. */
  readonly signal?: AbortSignal;
  /** A label, instead of the view's. */
  readonly label?: string;
}

/** @deprecated Use {@link ImapOptions}. */
export type LazyMapOptions = ImapOptions;

export const IMAP_OPTIONS: OptionNames<ImapOptions> = {
  maxOutstanding: true,
  chunksize: true,
  ordered: true,
  returnExceptions: true,
  label: true,
  signal: true,
};

/** What a lazy map stands on. */
export interface LazyMapParts {
  readonly sequences: readonly (Iterable<unknown> | AsyncIterable<unknown>)[];
  /** Submits a chunk: for each sequence, as many of its elements. */
  readonly submit: (chunk: readonly (readonly unknown[])[]) => Task;
  /** Aborts tasks that are not wanted any more. */
  readonly abort: (msgIds: readonly string[]) => Promise<void>;
  /** How many engines there are. */
  readonly engines: number;
}

/** A chunk in flight, or what is to be thrown in its place. */
interface Entry {
  readonly task: Task | undefined;
  readonly size: number;
  readonly error: Error | undefined;
}

/** Results that lie here unread count, too: so many times what may be in flight. */
const UNREAD = 4;

/**
 * The results of a map whose sequences are read as results are taken; to be iterated once. Nothing is read before the
 * first result is asked for. Mirrors ipyparallel `LazyMapIterator`.
 */
export class LazyMap<R> implements AsyncIterableIterator<R> {
  readonly #parts: LazyMapParts;
  readonly #options: ImapOptions;
  readonly #reader: ZipReader;
  readonly #limit: number;
  readonly #chunksize: number;
  /** What has been submitted and not yet been given, in the order of submission. */
  readonly #entries = new Set<Entry>();
  /** Those of them that have ended, in the order of their ends. */
  readonly #finished = new Fifo<Entry>();
  /** Elements of chunks that have ended. */
  readonly #ready = new Fifo<unknown>();
  #inFlight = 0;
  #fed = false;
  #feeding = false;
  #ended = false;
  #wake: () => void = () => undefined;
  /** Calls of next() wait for one another. */
  #turn: Promise<unknown> = Promise.resolve();

  /** @internal Made by `imap`. */
  constructor(parts: LazyMapParts, options: ImapOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#chunksize = checkCount(options.chunksize ?? 1, 1, 'chunksize');
    const most = checkCount(options.maxOutstanding ?? Math.max(1, parts.engines), 0, 'maxOutstanding');
    this.#limit = most === 0 ? Number.POSITIVE_INFINITY : most;
    this.#reader = new ZipReader(parts.sequences);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<R, undefined>> {
    const turn = this.#turn.then(() => this.#next());
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /** Ends it: nothing more is read, and what has not begun is aborted. */
  async return(): Promise<IteratorResult<R, undefined>> {
    this.#end();
    return { done: true, value: undefined };
  }

  async throw(error?: unknown): Promise<IteratorResult<R, undefined>> {
    this.#end();
    throw error;
  }

  /** Reads no more input; what has been submitted is still given. Mirrors ipyparallel `LazyMapIterator.cancel`. */
  cancel(): void {
    this.#fed = true;
    this.#reader.close();
    this.#wake();
  }

  async #next(): Promise<IteratorResult<R, undefined>> {
    const { signal } = this.#options;
    for (;;) {
      if (signal?.aborted === true) {
        this.#end();
        throw signal.reason;
      }
      if (this.#ready.length > 0) {
        const value = this.#ready.shift() as R;
        this.#feed();
        return { done: false, value };
      }
      if (this.#ended) return { done: true, value: undefined };
      const entry = this.#nextEntry();
      if (entry !== undefined) {
        try {
          this.#take(entry);
        } catch (error) {
          this.#end();
          throw error;
        }
        continue;
      }
      if (this.#fed && this.#entries.size === 0) {
        this.#ended = true;
        continue;
      }
      this.#feed();
      await this.#change(signal);
    }
  }

  /** Whether there is something to give next. */
  get #hasNext(): boolean {
    if (this.#options.ordered === false) return this.#finished.length > 0;
    const first = this.#first;
    return first !== undefined && (first.task === undefined || first.task.outcome !== undefined);
  }

  /** Takes what is to be given next out of the list. */
  #nextEntry(): Entry | undefined {
    if (!this.#hasNext) return undefined;
    const entry = this.#options.ordered === false ? this.#finished.shift() : this.#first;
    if (entry !== undefined) this.#entries.delete(entry);
    return entry;
  }

  get #first(): Entry | undefined {
    return this.#entries.values().next().value;
  }

  #take({ task, size, error }: Entry): void {
    if (error !== undefined) throw error;
    const outcome = task?.outcome;
    if (task === undefined || outcome === undefined) return;
    task.owner?.markRead(task);
    if (outcome.ok) {
      for (const value of outcome.value as Iterable<unknown>) this.#ready.push(value);
    } else if (this.#options.returnExceptions === true) {
      for (let i = 0; i < size; i++) this.#ready.push(outcome.error);
    } else throw outcome.error;
  }

  /** Something may have happened; woken also by the signal. */
  async #change(signal: AbortSignal | undefined): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      this.#wake = wake;
      signal?.addEventListener('abort', wake, { once: true });
      // Between the look and the wait a task may have ended, or the feeding may have gone as far as it can.
      if (this.#hasNext || (this.#fed && this.#entries.size === 0)) wake();
    });
  }

  /** Reads and submits as far as the bounds allow; goes on when a task ends or a result is taken. */
  #feed(): void {
    if (this.#feeding || !this.#mayFeed) return;
    this.#feeding = true;
    void this.#feedOn()
      .catch((error: unknown) => {
        this.#fed = true;
        this.#reader.close();
        const thrown = error instanceof Error ? error : new UsageError(`the input failed: ${String(error)}`);
        this.#add({ task: undefined, size: 0, error: thrown });
      })
      .finally(() => {
        this.#feeding = false;
        this.#wake();
      });
  }

  get #mayFeed(): boolean {
    return !this.#fed && this.#inFlight < this.#limit && this.#entries.size < UNREAD * this.#limit;
  }

  async #feedOn(): Promise<void> {
    while (this.#mayFeed) {
      const chunk = await this.#reader.read(this.#chunksize);
      const size = chunk[0]?.length ?? 0;
      if (this.#fed) return;
      if (size > 0) {
        this.#add({ task: this.#parts.submit(chunk), size, error: undefined });
      }
      if (size < this.#chunksize) {
        this.#fed = true;
        this.#reader.close();
      }
    }
  }

  #add(entry: Entry): void {
    this.#entries.add(entry);
    const finish = (): void => {
      if (this.#options.ordered === false && !this.#ended) this.#finished.push(entry);
    };
    if (entry.task === undefined) {
      finish();
      return;
    }
    this.#inFlight++;
    void entry.task.done.then(() => {
      this.#inFlight--;
      finish();
      this.#wake();
      this.#feed();
    });
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.cancel();
    const open = [...this.#entries].flatMap(({ task }) =>
      task !== undefined && task.outcome === undefined ? [task.msgId] : [],
    );
    this.#entries.clear();
    this.#finished.clear();
    this.#ready.clear();
    // They are not waited for, and it is no failure of the map's when an engine does not answer.
    if (open.length > 0) void this.#parts.abort(open).catch(() => undefined);
  }
}

type AnyIterator = Iterator<unknown> | AsyncIterator<unknown>;

/** How long synchronous input may keep the event loop, in ms. */
const SLICE_MS = 8;

/** Reads several iterables side by side, as far as the shortest goes. */
class ZipReader {
  readonly #iterators: AnyIterator[];
  readonly #async: boolean;
  #sliceEnd = 0;
  #closed = false;

  constructor(sequences: readonly (Iterable<unknown> | AsyncIterable<unknown>)[]) {
    this.#async = sequences.some((sequence) => isAsync(sequence));
    this.#iterators = sequences.map((sequence) =>
      isAsync(sequence) ? sequence[Symbol.asyncIterator]() : sequence[Symbol.iterator](),
    );
  }

  /** For each sequence up to `count` elements, all the same number; fewer than `count` when one is at its end. */
  async read(count: number): Promise<unknown[][]> {
    const columns = this.#iterators.map((): unknown[] => []);
    for (let i = 0; i < count && !this.#closed; i++) {
      const places = this.#async
        ? await Promise.all(this.#iterators.map((iterator) => iterator.next()))
        : this.#iterators.map((iterator) => iterator.next() as IteratorResult<unknown>);
      if (places.some(({ done }) => done === true)) break;
      places.forEach(({ value }, column) => {
        columns[column]?.push(value);
      });
    }
    await this.#yield();
    return columns;
  }

  /** Lets go of the iterators. One that is still being asked is not waited for. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const iterator of this.#iterators) {
      try {
        const closing = iterator.return?.();
        if (closing instanceof Promise) closing.catch(() => undefined);
      } catch {
        // The map is over; what an input says to that is of no use to anybody.
      }
    }
  }

  /** A source that never waits must not starve everything else. */
  async #yield(): Promise<void> {
    if (performance.now() < this.#sliceEnd) return;
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    this.#sliceEnd = performance.now() + SLICE_MS;
  }
}

function isAsync(sequence: Iterable<unknown> | AsyncIterable<unknown>): sequence is AsyncIterable<unknown> {
  return typeof sequence === 'object' && Symbol.asyncIterator in sequence;
}
