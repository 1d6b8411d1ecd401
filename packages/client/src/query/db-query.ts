import { ConnectionClosedError } from '@ipyparallel-js/protocol';
import { checkOptions } from '@ipyparallel-js/protocol/internal';
import { type Deadline, pause, startDeadline, WAIT_OPTIONS, type WaitOptions } from '@ipyparallel-js/wire';
import { Observable } from 'rxjs';
import type { QueryPlan } from '../hub/explain.js';
import type { HubDatabase } from '../hub/hub-database.js';
import type { PurgeReport } from '../hub/hub-operations.js';
import type { ProjectedRow, RecordQuery } from '../hub/record-query.js';
import type { LiveQueries } from '../live/live-queries.js';
import type { Watch } from '../live/watch.js';
import { WATCH_OPTIONS, type WatchOptions } from '../live/watch-event.js';
import type { AsyncResult } from '../results/async-result.js';
import { PURGE_OPTIONS, type PurgeOptions, RESUBMIT_OPTIONS, type ResubmitOptions } from './query-options.js';
import type { TaskActions } from './task-actions.js';

/** The parts of a client that a query uses. */
export interface QueryContext {
  readonly database: HubDatabase;
  readonly actions: TaskActions;
  readonly live: LiveQueries;
  /** The timeout of a request without one of its own, in ms. */
  readonly defaultTimeout: number;
}

/**
 * A query of the Task Database, and the tasks that it selects.
 *
 * The first `await` (or `then`) sends the query, and further ones share its result. Every other method queries the hub
 * again. The query itself is neither an AsyncIterable nor an Observable.
 *
 * @example
 * const failed = rc.dbQuery({ result_content: { $ne: null } }, ['msg_id', 'result_content']);
 * for (const record of await failed) console.log(record.msg_id, record.result_content);
 * for await (const record of failed.stream()) console.log(record.msg_id);
 */
export class DbQuery<R> implements PromiseLike<R[]> {
  readonly #context: QueryContext;
  readonly #query: RecordQuery;
  readonly #options: WaitOptions;
  #result: Promise<R[]> | undefined;

  /** @internal Use `Client.dbQuery`. */
  constructor(context: QueryContext, query: RecordQuery, options: WaitOptions) {
    startDeadline(options, context.defaultTimeout);
    this.#context = context;
    this.#query = query;
    const { timeout, signal } = options;
    this.#options = {
      ...(timeout === undefined ? {} : { timeout }),
      ...(signal === undefined ? {} : { signal }),
    };
  }

  /** Resolves with the records, ordered by `sort`, or else by `submitted`, then `msg_id`. */
  // biome-ignore lint/suspicious/noThenProperty: `await rc.dbQuery(…)` is the API; laziness needs a thenable
  then<A = R[], B = never>(
    onFulfilled?: ((records: R[]) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#result ??= this.#find(this.#deadline());
    return this.#result.then(onFulfilled, onRejected);
  }

  /**
   * Yields the records one at a time, in the same order, and fetches them in pages. Leaving the loop early ends the
   * requests. The timeout applies to each request, so a slow caller causes no error.
   */
  async *stream(): AsyncGenerator<R, void, undefined> {
    for await (const page of this.pages()) yield* page;
  }

  /** Yields the records in the pages in which they arrive; the size of a page limits the time that the hub spends on it. */
  async *pages(): AsyncGenerator<R[], void, undefined> {
    for await (const rows of this.#pages(this.#query)) yield rows as R[];
  }

  /**
   * Queries repeatedly: at once, and then `ms` milliseconds after each result.
   *
   * The Observable completes when the client is closed, and errors when a query fails. Unsubscribing aborts the current
   * query. The timeout applies to each query.
   */
  poll(ms: number): Observable<R[]> {
    startDeadline({ timeout: ms }, 0);
    return new Observable<R[]>((subscriber) => {
      const { closing } = this.#context.live;
      if (closing.aborted) {
        subscriber.error(new ConnectionClosedError('the client is closed'));
        return undefined;
      }
      const onClose = (): void => subscriber.complete();
      closing.addEventListener('abort', onClose, { once: true });
      const abort = new AbortController();
      const signals = [abort.signal, ...(this.#options.signal === undefined ? [] : [this.#options.signal])];
      const signal = AbortSignal.any(signals);
      const run = async (): Promise<void> => {
        while (!subscriber.closed) {
          subscriber.next(await this.#find(this.#deadline(signal)));
          await pause(ms, signal);
          signal.throwIfAborted();
        }
      };
      run().catch((error: unknown) => subscriber.error(error));
      return () => {
        closing.removeEventListener('abort', onClose);
        abort.abort();
      };
    });
  }

  /**
   * Watches the query: an Observable, and an async iterable, of one snapshot and of all changes since.
   *
   * The watch sends no request before a reader subscribes, continues after restarts of the controller, and completes when
   * the client is closed.
   * @throws {UsageError} when the query has `skip` or `limit`
   *
   * @example
   * for await (const event of rc.dbQuery({ label: 'nightly' }, ['msg_id', 'stdout']).watch()) {
   *   if (event.type === 'snapshot') console.log(event.records.length, 'tasks');
   *   else console.log(event.type, event.record.msg_id, event.status);
   * }
   */
  watch(options: WatchOptions = {}): Watch<R> {
    checkOptions(options, WATCH_OPTIONS, 'watch');
    const { signal = this.#options.signal } = options;
    return this.#context.live.watch<R>(this.#query, {
      ...options,
      ...(signal === undefined ? {} : { signal }),
    });
  }

  /** Counts the records of the query within its `skip` and `limit`. A Python hub cannot count, so the client reads ids. */
  async count(): Promise<number> {
    const { node, skip, limit } = this.#query;
    const matches = await this.#context.database.count(node, this.#newDeadline());
    return Math.min(Math.max(0, matches - skip), limit);
  }

  /** Reads the first record; undefined if there is none. */
  async first(): Promise<R | undefined> {
    for await (const [row] of this.#pages({ ...this.#query, limit: 1 })) return row as R;
    return undefined;
  }

  /** Describes the requests that the query needs, and the work that the client does itself. Requests no records. */
  async explain(): Promise<QueryPlan> {
    return this.#context.database.explain(this.#query, this.#deadline());
  }

  /** Returns the result of all tasks that match now, of every client, including tasks that have not ended. */
  async results(): Promise<AsyncResult<unknown[]>> {
    return this.#context.actions.results(await this.#ids());
  }

  /**
   * Waits until all tasks that match now have ended.
   * @returns false when `timeout` (in ms; none by default) passes first
   */
  async wait(options: WaitOptions = {}): Promise<boolean> {
    checkOptions(options, WAIT_OPTIONS, 'wait');
    return (await this.results()).wait(options);
  }

  /**
   * Runs again, under new ids, all tasks that match now.
   *
   * A Python hub drops the metadata of the tasks: `AsyncResult.dropped` lists the losses, and `restore: true` submits the
   * tasks from this client instead.
   */
  async resubmit(options: ResubmitOptions = {}): Promise<AsyncResult<unknown[]>> {
    checkOptions(options, RESUBMIT_OPTIONS, 'resubmit');
    return this.#context.actions.resubmit(await this.#ids(), { ...this.#options, ...options });
  }

  /**
   * Purges the matching records of tasks that have ended, and counts the others as pending.
   * @returns the number and the estimated size of the purged records; with `dryRun`, of those that a purge would remove
   */
  async purge(options: PurgeOptions = {}): Promise<PurgeReport> {
    checkOptions(options, PURGE_OPTIONS, 'purge');
    return this.#context.actions.purge(this.#query, options.dryRun === true, this.#newDeadline(options));
  }

  #ids(): Promise<string[]> {
    return this.#context.database.ids(this.#query, this.#newDeadline());
  }

  #pages(query: RecordQuery): AsyncGenerator<ProjectedRow[], void, undefined> {
    return this.#context.database.pages(query, this.#newDeadline());
  }

  #newDeadline(options: WaitOptions = {}): () => Deadline {
    return () => startDeadline({ ...this.#options, ...options }, this.#context.defaultTimeout);
  }

  #deadline(signal = this.#options.signal): Deadline {
    return startDeadline(
      { ...this.#options, ...(signal === undefined ? {} : { signal }) },
      this.#context.defaultTimeout,
    );
  }

  async #find(deadline: Deadline): Promise<R[]> {
    return (await this.#context.database.find(this.#query, deadline)) as R[];
  }
}
