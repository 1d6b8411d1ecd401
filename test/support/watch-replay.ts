// Plays a live query's events back, and finds whatever does not follow from what was told before.
import { isDeepStrictEqual } from 'node:util';
import type { TaskStatus, WatchEvent } from '@ipyparallel-js/client';
import type { Observable, Subscription } from 'rxjs';
import { waitFor } from './wait-for.js';

interface Identified {
  readonly msg_id: string;
}

interface Told<R> {
  readonly record: R;
  readonly status: TaskStatus;
  readonly begun: Date | null;
}

/** The records that the events so far make, and every fault in those. */
export class WatchReplay<R extends Identified> {
  readonly events: WatchEvent<R>[] = [];
  readonly faults: string[] = [];
  readonly known = new Map<string, Told<R>>();
  error: unknown;
  completed = false;
  readonly #subscription: Subscription | undefined;

  constructor(source?: Observable<WatchEvent<R>>) {
    this.#subscription = source?.subscribe({
      next: (event) => this.take(event),
      error: (error: unknown) => {
        this.error = error;
      },
      complete: () => {
        this.completed = true;
      },
    });
  }

  take(event: WatchEvent<R>): void {
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
    if (this.events.length === 1) this.#fault(event, 'comes before a snapshot');
    if (event.type === 'entered' && before !== undefined) this.#fault(event, 'entered that was there');
    if (event.type !== 'entered') {
      if (before === undefined) this.#fault(event, `${event.type} that was not there`);
      else if (!isDeepStrictEqual(event.previous, before.record)) this.#fault(event, 'has another previous');
    }
    if (event.type === 'left') this.known.delete(record.msg_id);
    else {
      const told = { record, status, begun };
      if (isDeepStrictEqual(told, before)) this.#fault(event, 'tells what was told');
      this.known.set(record.msg_id, told);
    }
  }

  /** The events that are no snapshot, by type. */
  get counts(): { readonly entered: number; readonly changed: number; readonly left: number } {
    const count = (type: string): number => this.events.filter((event) => event.type === type).length;
    return { entered: count('entered'), changed: count('changed'), left: count('left') };
  }

  /** Waits for the snapshot. */
  begun(timeout = 20_000): Promise<unknown> {
    return this.until(() => this.events.length > 0, 'a snapshot', timeout);
  }

  /** Waits until what was told makes this true; fails at once when the watch has failed. */
  until(check: () => boolean, what: string, timeout = 20_000): Promise<unknown> {
    return waitFor(
      () => {
        if (this.error !== undefined) throw this.error;
        return check();
      },
      { timeout, what: () => `${what}; told: ${this.describe()}` },
    );
  }

  /** Waits until the records told of are those that the database has, and nothing was wrong on the way. */
  async agrees(ask: () => PromiseLike<readonly R[]>, timeout = 20_000): Promise<void> {
    const byId = (records: Iterable<R>): R[] => [...records].sort((a, b) => (a.msg_id < b.msg_id ? -1 : 1));
    await waitFor(
      async () => {
        if (this.error !== undefined) throw this.error;
        const truth = byId(await ask());
        return isDeepStrictEqual(byId([...this.known.values()].map(({ record }) => record)), truth);
      },
      { timeout, what: () => `a watch to agree with the database; told: ${this.describe()}` },
    );
    if (this.faults.length > 0) throw new Error(`a watch was wrong:\n${this.faults.join('\n')}`);
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
