// Replays the events of a live query, and finds every event that does not follow from the earlier ones.
import { isDeepStrictEqual } from 'node:util';
import type { TaskStatus, WatchEvent } from '@ipyparallel-js/client';
import type { Observable, Subscription } from 'rxjs';
import { waitFor } from './wait-for.js';

interface Identified {
  readonly msg_id: string;
}

interface RecordState<R> {
  readonly record: R;
  readonly status: TaskStatus;
  readonly begun: Date | null;
}

/** The records that result from the events so far, and the faults in those events. */
export class WatchReplay<R extends Identified> {
  readonly events: WatchEvent<R>[] = [];
  readonly faults: string[] = [];
  readonly known = new Map<string, RecordState<R>>();
  error: unknown;
  completed = false;
  readonly #subscription: Subscription | undefined;

  constructor(source?: Observable<WatchEvent<R>>) {
    this.#subscription = source?.subscribe({
      next: (event) => this.apply(event),
      error: (error: unknown) => {
        this.error = error;
      },
      complete: () => {
        this.completed = true;
      },
    });
  }

  apply(event: WatchEvent<R>): void {
    this.events.push(event);
    if (event.type === 'snapshot') {
      if (this.events.length > 1) this.#fault(event, 'is not the first event');
      for (const [i, record] of event.records.entries()) {
        const status = event.statuses[i];
        if (status === undefined) this.#fault(event, `has no status for ${record.msg_id}`);
        else this.known.set(record.msg_id, { record, status, begun: event.begun[i] ?? null });
      }
      if (this.known.size !== event.records.length) this.#fault(event, 'has a record twice');
      return;
    }
    const { record, status, begun } = event;
    const before = this.known.get(record.msg_id);
    if (this.events.length === 1) this.#fault(event, 'precedes the snapshot');
    if (event.type === 'entered' && before !== undefined) this.#fault(event, 'entered, but was known');
    if (event.type !== 'entered') {
      if (before === undefined) this.#fault(event, `${event.type}, but was unknown`);
      else if (!isDeepStrictEqual(event.previous, before.record)) this.#fault(event, 'has another previous');
    }
    if (event.type === 'left') this.known.delete(record.msg_id);
    else {
      const state = { record, status, begun };
      if (isDeepStrictEqual(state, before)) this.#fault(event, 'repeats the previous state');
      this.known.set(record.msg_id, state);
    }
  }

  /** The number of change events by type. */
  get counts(): { readonly entered: number; readonly changed: number; readonly left: number } {
    const count = (type: string): number => this.events.filter((event) => event.type === type).length;
    return { entered: count('entered'), changed: count('changed'), left: count('left') };
  }

  /** Waits for the snapshot. */
  begun(timeout = 60_000): Promise<unknown> {
    return this.until(() => this.events.length > 0, 'a snapshot', timeout);
  }

  /** Waits until the events make this true; fails at once when the watch has failed. */
  until(check: () => boolean, what: string, timeout = 60_000): Promise<unknown> {
    return waitFor(
      () => {
        if (this.error !== undefined) throw this.error;
        return check();
      },
      { timeout, what: () => `${what}; received: ${this.describe()}` },
    );
  }

  /** Waits until the replayed records equal those of the database, and checks that no event was faulty. */
  async agrees(query: () => PromiseLike<readonly R[]>, timeout = 60_000): Promise<void> {
    const byId = (records: Iterable<R>): R[] => [...records].sort((a, b) => (a.msg_id < b.msg_id ? -1 : 1));
    await waitFor(
      async () => {
        if (this.error !== undefined) throw this.error;
        const truth = byId(await query());
        return isDeepStrictEqual(byId([...this.known.values()].map(({ record }) => record)), truth);
      },
      { timeout, what: () => `a watch to agree with the database; received: ${this.describe()}` },
    );
    if (this.faults.length > 0) throw new Error(`a watch emitted faulty events:\n${this.faults.join('\n')}`);
  }

  describe(): string {
    const { entered, changed, left } = this.counts;
    const last = this.events.slice(-5).map((event) => JSON.stringify(event).slice(0, 300));
    return `${this.known.size} records, ${entered} entered, ${changed} changed, ${left} left; faults: ${this.faults.join('; ') || 'none'}; last:\n${last.join('\n')}`;
  }

  stop(): void {
    this.#subscription?.unsubscribe();
  }

  #fault(event: WatchEvent<R>, what: string): void {
    if (this.faults.length < 10) this.faults.push(`${what}: ${JSON.stringify(event).slice(0, 500)}`);
  }
}
