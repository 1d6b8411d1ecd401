import { type Deadline, pause, startDeadline, type WaitOptions } from '@ipyparallel-js/wire';
import { Observable } from 'rxjs';
import type { HubDatabase, Question } from './hub-database.js';

/**
 * A question to the Task Database. Nothing is sent before the first `await` (or `then`); further awaits share its
 * answer. `stream` and `poll` ask anew. It is neither an AsyncIterable nor an Observable itself.
 */
export class DbQuery<R> implements PromiseLike<R[]> {
  readonly #database: HubDatabase;
  readonly #question: Question;
  readonly #options: WaitOptions;
  readonly #defaultTimeout: number;
  #answer: Promise<R[]> | undefined;

  /** @internal Made by `Client.dbQuery`. */
  constructor(database: HubDatabase, question: Question, options: WaitOptions, defaultTimeout: number) {
    startDeadline(options, defaultTimeout);
    this.#database = database;
    this.#question = question;
    this.#options = options;
    this.#defaultTimeout = defaultTimeout;
  }

  /** The records, by `submitted`, then `msg_id`. */
  // biome-ignore lint/suspicious/noThenProperty: `await rc.dbQuery(…)` is the API; laziness needs a thenable
  then<A = R[], B = never>(
    onFulfilled?: ((records: R[]) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#answer ??= this.#ask(this.#deadline());
    return this.#answer.then(onFulfilled, onRejected);
  }

  /**
   * The records one at a time, in the same order, fetched in chunks; asks anew. Stops asking when left early.
   * The time-out is each request's, so a slow reader is no failure.
   */
  stream(): AsyncGenerator<R, void, undefined> {
    return this.#database.stream(this.#question, () => this.#deadline()) as AsyncGenerator<
      R,
      void,
      undefined
    >;
  }

  /**
   * Asks again and again: the first answer at once, the next question `ms` milliseconds after each answer. Ends on
   * unsubscribe (which aborts the question under way); a failed question errors it. The time-out is each question's.
   */
  poll(ms: number): Observable<R[]> {
    startDeadline({ timeout: ms }, 0);
    return new Observable<R[]>((subscriber) => {
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
      return () => abort.abort();
    });
  }

  #deadline(signal = this.#options.signal): Deadline {
    return startDeadline(
      { ...this.#options, ...(signal === undefined ? {} : { signal }) },
      this.#defaultTimeout,
    );
  }

  async #ask(deadline: Deadline): Promise<R[]> {
    return (await this.#database.find(this.#question, deadline)) as R[];
  }
}
