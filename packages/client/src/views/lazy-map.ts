import { UsageError } from '@ipyparallel-js/protocol';
import type { OptionNames } from '@ipyparallel-js/protocol/internal';
import { Fifo } from '@ipyparallel-js/wire';
import type { Task } from '../tasks/task.js';
import { checkCount } from './map-arguments.js';

/** Options of `imap`. */
export interface ImapOptions {
  /** Whether results are yielded in the order of the elements, not as their tasks end; true by default. */
  readonly ordered?: boolean;
  /** The maximum number of tasks in flight; the number of engines by default, 0 for no limit. */
  readonly maxOutstanding?: number;
  /** The number of elements per task; 1 by default. */
  readonly chunksize?: number;
  /** Yields errors in place of the elements that failed, instead of throwing; false by default. */
  readonly returnExceptions?: boolean;
  /** Ends the map: a pending `next` throws the signal's reason, and tasks that have not begun are aborted. */
  readonly signal?: AbortSignal;
  /** A label that replaces the view's. */
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

export interface LazyMapParts {
  readonly sequences: readonly (Iterable<unknown> | AsyncIterable<unknown>)[];
  /** Submits a chunk, which has the same number of elements of each sequence. */
  readonly submit: (chunk: readonly (readonly unknown[])[]) => Task;
  /** Aborts tasks that are no longer needed. */
  readonly abort: (msgIds: readonly string[]) => Promise<void>;
  /** The number of engines. */
  readonly engines: number;
}

/** A chunk in flight, or the error to throw in its place. */
interface Entry {
  readonly task: Task | undefined;
  readonly size: number;
  readonly error: Error | undefined;
}

/** The limit of submitted chunks that have not been yielded, as a multiple of the tasks in flight. */
const MAX_UNYIELDED_FACTOR = 4;

/**
 * The results of a map that reads its sequences as results are consumed. It can be iterated once and reads nothing before
 * the first call of `next`. Mirrors ipyparallel `LazyMapIterator`.
 */
export class LazyMap<R> implements AsyncIterableIterator<R> {
  readonly #parts: LazyMapParts;
  readonly #options: ImapOptions;
  readonly #reader: ZipReader;
  readonly #limit: number;
  readonly #chunksize: number;
  /** The chunks that have been submitted but not yielded, in the order of submission. */
  readonly #entries = new Set<Entry>();
  /** The entries that have ended, in the order of their ends. */
  readonly #finishedEntries = new Fifo<Entry>();
  /** The elements of ended chunks. */
  readonly #readyElements = new Fifo<unknown>();
  #inFlightCount = 0;
  #hasInputEnded = false;
  #isSubmitting = false;
  #hasEnded = false;
  #resolveWait: () => void = () => undefined;
  /** Calls of next() run one after another. */
  #lastCall: Promise<unknown> = Promise.resolve();

  /** @internal Created by `imap`. */
  constructor(parts: LazyMapParts, options: ImapOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#chunksize = checkCount(options.chunksize ?? 1, 1, 'chunksize');
    const maximum = checkCount(options.maxOutstanding ?? Math.max(1, parts.engines), 0, 'maxOutstanding');
    this.#limit = maximum === 0 ? Number.POSITIVE_INFINITY : maximum;
    this.#reader = new ZipReader(parts.sequences);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<R, undefined>> {
    const call = this.#lastCall.then(() => this.#next());
    this.#lastCall = call.catch(() => undefined);
    return call;
  }

  /** Ends the map: stops reading input and aborts tasks that have not begun. */
  async return(): Promise<IteratorResult<R, undefined>> {
    this.#end();
    return { done: true, value: undefined };
  }

  async throw(error?: unknown): Promise<IteratorResult<R, undefined>> {
    this.#end();
    throw error;
  }

  /** Stops reading input; results of submitted tasks are still yielded. Mirrors ipyparallel `LazyMapIterator.cancel`. */
  cancel(): void {
    this.#hasInputEnded = true;
    this.#reader.close();
    this.#resolveWait();
  }

  async #next(): Promise<IteratorResult<R, undefined>> {
    const { signal } = this.#options;
    for (;;) {
      if (signal?.aborted === true) {
        this.#end();
        throw signal.reason;
      }
      if (this.#readyElements.length > 0) {
        const value = this.#readyElements.shift() as R;
        this.#submitMore();
        return { done: false, value };
      }
      if (this.#hasEnded) return { done: true, value: undefined };
      const entry = this.#nextEntry();
      if (entry !== undefined) {
        try {
          this.#consume(entry);
        } catch (error) {
          this.#end();
          throw error;
        }
        continue;
      }
      if (this.#hasInputEnded && this.#entries.size === 0) {
        this.#hasEnded = true;
        continue;
      }
      this.#submitMore();
      await this.#waitForChange(signal);
    }
  }

  /** Whether an entry can be yielded now. */
  get #hasNext(): boolean {
    if (this.#options.ordered === false) return this.#finishedEntries.length > 0;
    const first = this.#firstEntry;
    return first !== undefined && (first.task === undefined || first.task.outcome !== undefined);
  }

  /** Removes and returns the entry to yield next. */
  #nextEntry(): Entry | undefined {
    if (!this.#hasNext) return undefined;
    const entry = this.#options.ordered === false ? this.#finishedEntries.shift() : this.#firstEntry;
    if (entry !== undefined) this.#entries.delete(entry);
    return entry;
  }

  get #firstEntry(): Entry | undefined {
    return this.#entries.values().next().value;
  }

  #consume({ task, size, error }: Entry): void {
    if (error !== undefined) throw error;
    const outcome = task?.outcome;
    if (task === undefined || outcome === undefined) return;
    task.owner?.markRead(task);
    if (outcome.ok) {
      for (const value of outcome.value as Iterable<unknown>) this.#readyElements.push(value);
    } else if (this.#options.returnExceptions === true) {
      for (let i = 0; i < size; i++) this.#readyElements.push(outcome.error);
    } else throw outcome.error;
  }

  /** Waits for a change: an ended task, more input, or the signal. */
  async #waitForChange(signal: AbortSignal | undefined): Promise<void> {
    await new Promise<void>((resolve) => {
      const onChange = (): void => {
        signal?.removeEventListener('abort', onChange);
        resolve();
      };
      this.#resolveWait = onChange;
      signal?.addEventListener('abort', onChange, { once: true });
      // A task may have ended, or the input may have been exhausted, before this wait began.
      if (this.#hasNext || (this.#hasInputEnded && this.#entries.size === 0)) onChange();
    });
  }

  /** Reads input and submits chunks up to the limits; called again when a task ends or a result is consumed. */
  #submitMore(): void {
    if (this.#isSubmitting || !this.#maySubmit) return;
    this.#isSubmitting = true;
    void this.#submitChunks()
      .catch((error: unknown) => {
        this.#hasInputEnded = true;
        this.#reader.close();
        const thrown =
          error instanceof Error ? error : new UsageError(`an input of imap failed: ${String(error)}`);
        this.#add({ task: undefined, size: 0, error: thrown });
      })
      .finally(() => {
        this.#isSubmitting = false;
        this.#resolveWait();
      });
  }

  get #maySubmit(): boolean {
    return (
      !this.#hasInputEnded &&
      this.#inFlightCount < this.#limit &&
      this.#entries.size < MAX_UNYIELDED_FACTOR * this.#limit
    );
  }

  async #submitChunks(): Promise<void> {
    while (this.#maySubmit) {
      const chunk = await this.#reader.read(this.#chunksize);
      const size = chunk[0]?.length ?? 0;
      if (this.#hasInputEnded) return;
      if (size > 0) {
        this.#add({ task: this.#parts.submit(chunk), size, error: undefined });
      }
      if (size < this.#chunksize) {
        this.#hasInputEnded = true;
        this.#reader.close();
      }
    }
  }

  #add(entry: Entry): void {
    this.#entries.add(entry);
    const finish = (): void => {
      if (this.#options.ordered === false && !this.#hasEnded) this.#finishedEntries.push(entry);
    };
    if (entry.task === undefined) {
      finish();
      return;
    }
    this.#inFlightCount++;
    void entry.task.done.then(() => {
      this.#inFlightCount--;
      finish();
      this.#resolveWait();
      this.#submitMore();
    });
  }

  #end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.cancel();
    const openIds = [...this.#entries].flatMap(({ task }) =>
      task !== undefined && task.outcome === undefined ? [task.msgId] : [],
    );
    this.#entries.clear();
    this.#finishedEntries.clear();
    this.#readyElements.clear();
    // The replies are not awaited: the map has not failed if an engine does not reply.
    if (openIds.length > 0) void this.#parts.abort(openIds).catch(() => undefined);
  }
}

type AnyIterator = Iterator<unknown> | AsyncIterator<unknown>;

/** The maximum time for which synchronous input may block the event loop, in ms. */
const SLICE_MS = 8;

/** Reads several iterables in parallel, up to the end of the shortest. */
class ZipReader {
  readonly #iterators: AnyIterator[];
  readonly #isAsync: boolean;
  #sliceEnd = 0;
  #isClosed = false;

  constructor(sequences: readonly (Iterable<unknown> | AsyncIterable<unknown>)[]) {
    this.#isAsync = sequences.some((sequence) => isAsync(sequence));
    this.#iterators = sequences.map((sequence) =>
      isAsync(sequence) ? sequence[Symbol.asyncIterator]() : sequence[Symbol.iterator](),
    );
  }

  /** Reads up to `count` elements of each sequence, the same number of all; fewer than `count` at the end of a sequence. */
  async read(count: number): Promise<unknown[][]> {
    const columns = this.#iterators.map((): unknown[] => []);
    for (let i = 0; i < count && !this.#isClosed; i++) {
      const steps = this.#isAsync
        ? await Promise.all(this.#iterators.map((iterator) => iterator.next()))
        : this.#iterators.map((iterator) => iterator.next() as IteratorResult<unknown>);
      if (steps.some(({ done }) => done === true)) break;
      steps.forEach(({ value }, column) => {
        columns[column]?.push(value);
      });
    }
    await this.#yield();
    return columns;
  }

  /** Closes the iterators without waiting for pending reads. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const iterator of this.#iterators) {
      try {
        const closing = iterator.return?.();
        if (closing instanceof Promise) closing.catch(() => undefined);
      } catch {
        // The map has ended, so an error of the input no longer matters.
      }
    }
  }

  /** Yields to the event loop, which a synchronous source would block. */
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
