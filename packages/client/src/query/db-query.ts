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

/** What a query object works with. */
export interface QueryContext {
  readonly database: HubDatabase;
  readonly actions: TaskActions;
  readonly live: LiveQueries;
  readonly defaultTimeout: number;
}

/**
 * A question to the Task Database, and the selection of tasks that it makes. Nothing is sent before the first `await`
 * (or `then`); further awaits share its answer. Everything else asks anew. It is neither an AsyncIterable nor an
 * Observable itself.
 */
export class DbQuery<R> implements PromiseLike<R[]> {
  readonly #context: QueryContext;
  readonly #question: RecordQuery;
  readonly #options: WaitOptions;
  #answer: Promise<R[]> | undefined;

  /** @internal Made by `Client.dbQuery`. */
  constructor(context: QueryContext, question: RecordQuery, options: WaitOptions) {
    startDeadline(options, context.defaultTimeout);
    this.#context = context;
    this.#question = question;
    const { timeout, signal } = options;
    this.#options = {
      ...(timeout === undefined ? {} : { timeout }),
      ...(signal === undefined ? {} : { signal }),
    };
  }

  /** The records in the order asked for: by `submitted`, then `msg_id`, unless `sort` says otherwise. */
  // biome-ignore lint/suspicious/noThenProperty: `await rc.dbQuery(…)` is the API; laziness needs a thenable
  then<A = R[], B = never>(
    onFulfilled?: ((records: R[]) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#answer ??= this.#ask(this.#deadline());
    return this.#answer.then(onFulfilled, onRejected);
  }

  /**
   * The records one at a time, in the same order, fetched in pages; asks anew. Stops asking when left early.
   * The time-out is each request's, so a slow reader is no failure.
   */
  async *stream(): AsyncGenerator<R, void, undefined> {
    for await (const page of this.pages()) yield* page;
  }

  /** The same, as the pages that they come in: as many records as the hub gives in a short time. */
  async *pages(): AsyncGenerator<R[], void, undefined> {
    for await (const rows of this.#pages(this.#question)) yield rows as R[];
  }

  /**
   * Asks again and again: the first answer at once, the next question `ms` milliseconds after each answer. Ends on
   * unsubscribe (which aborts the question under way), and completes when the client is closed; a failed question errors
   * it. The time-out is each question's.
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
          subscriber.next(await this.#ask(this.#deadline(signal)));
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
   * The live query: an Observable (and async iterable) of one snapshot and then of what enters, changes and leaves.
   * Nothing is asked before it is subscribed to; it goes on over restarts of the controller until it is left.
   * Completes when the client is closed. @throws UsageError for a query with skip or limit.
   */
  watch(options: WatchOptions = {}): Watch<R> {
    checkOptions(options, WATCH_OPTIONS, 'watch');
    const { signal = this.#options.signal } = options;
    return this.#context.live.watch<R>(this.#question, {
      ...options,
      ...(signal === undefined ? {} : { signal }),
    });
  }

  /** How many records the answer has; our hub counts, with a stock one no more is read than the query needs. */
  async count(): Promise<number> {
    const { node, skip, limit } = this.#question;
    const matches = await this.#context.database.count(node, this.#newDeadline());
    return Math.min(Math.max(0, matches - skip), limit);
  }

  /** The first record of the answer, or undefined; asks for as little as is needed to know which it is. */
  async first(): Promise<R | undefined> {
    for await (const [row] of this.#pages({ ...this.#question, limit: 1 })) return row as R;
    return undefined;
  }

  /** What the hub would be asked, what would be finished here, and why. Asks for no records. Can be printed. */
  async explain(): Promise<QueryPlan> {
    return this.#context.database.explain(this.#question, this.#deadline());
  }

  /** The results of all matches of now, whoever submitted them: those still running are waited for. */
  async results(): Promise<AsyncResult<unknown[]>> {
    return this.#context.actions.results(await this.#ids());
  }

  /** Waits until all matches of now have ended: true; or until `timeout` ms are over: false. Without one it waits on. */
  async wait(options: WaitOptions = {}): Promise<boolean> {
    checkOptions(options, WAIT_OPTIONS, 'wait');
    return (await this.results()).wait(options);
  }

  /**
   * Runs all matches of now again under new ids. On a stock hub, which drops what the tasks' metadata said,
   * `AsyncResult.dropped` says so, and `restore: true` submits them from here instead.
   */
  async resubmit(options: ResubmitOptions = {}): Promise<AsyncResult<unknown[]>> {
    checkOptions(options, RESUBMIT_OPTIONS, 'resubmit');
    return this.#context.actions.resubmit(await this.#ids(), { ...this.#options, ...options });
  }

  /**
   * Purges the records of those matches that have ended, and says how many and how many bytes (of an estimate) went;
   * what is pending stays and is counted. With `dryRun` nothing goes, and the numbers are those of the purge.
   */
  async purge(options: PurgeOptions = {}): Promise<PurgeReport> {
    checkOptions(options, PURGE_OPTIONS, 'purge');
    return this.#context.actions.purge(this.#question, options.dryRun === true, this.#newDeadline(options));
  }

  #ids(): Promise<string[]> {
    return this.#context.database.ids(this.#question, this.#newDeadline());
  }

  #pages(question: RecordQuery): AsyncGenerator<ProjectedRow[], void, undefined> {
    return this.#context.database.pages(question, this.#newDeadline());
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

  async #ask(deadline: Deadline): Promise<R[]> {
    return (await this.#context.database.find(this.#question, deadline)) as R[];
  }
}
