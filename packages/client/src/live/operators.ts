import { ConnectionClosedError, isDone, type TaskStatus } from '@ipyparallel-js/protocol';
import { checkOptions } from '@ipyparallel-js/protocol/internal';
import { Observable, type OperatorFunction } from 'rxjs';
import { countProgress, type Progress } from '../tasks/progress.js';
import type { WatchEvent } from './watch-event.js';

/** The part of a record that these operators need. */
interface RecordWithId {
  readonly msg_id: string;
}

/** The latest state of a record. */
interface RecordState<R> {
  readonly record: R;
  readonly status: TaskStatus;
}

/**
 * Passes the events of a live query on until every task in it has ended, then completes.
 *
 * `atLeast` (0 by default) is the number of records to wait for first, because tasks that were just submitted may not be
 * in the database yet. Errors with ConnectionClosedError when the live query completes earlier, for example because its
 * client is closed.
 */
export function untilDone<R extends RecordWithId>(
  options: { readonly atLeast?: number } = {},
): OperatorFunction<WatchEvent<R>, WatchEvent<R>> {
  checkOptions(options, { atLeast: true }, 'untilDone');
  const { atLeast = 0 } = options;
  return (source) =>
    new Observable((subscriber) => {
      const seen = new Set<string>();
      const pending = new Set<string>();
      let hasSnapshot = false;
      const note = (msgId: string, open: boolean): void => {
        if (seen.size < atLeast) seen.add(msgId);
        if (open) pending.add(msgId);
        else pending.delete(msgId);
      };
      return source.subscribe({
        next: (event) => {
          if (event.type === 'snapshot') {
            hasSnapshot = true;
            pending.clear();
            for (const [i, { msg_id }] of event.records.entries())
              note(msg_id, !isDone(event.statuses[i] ?? 'unassigned'));
          } else note(event.record.msg_id, event.type !== 'left' && !isDone(event.status));
          subscriber.next(event);
          if (hasSnapshot && pending.size === 0 && seen.size >= atLeast) subscriber.complete();
        },
        error: (error: unknown) => subscriber.error(error),
        // Completion would mean that all tasks have ended.
        complete: () =>
          subscriber.error(new ConnectionClosedError('the live query completed before its tasks ended')),
      });
    });
}

/** Emits all matching records, in the order of their arrival, after the snapshot and after changes. */
export function records<R extends RecordWithId>(): OperatorFunction<WatchEvent<R>, readonly R[]> {
  return emitSummaries((known) => [...known.values()].map(({ record }) => record));
}

/** Emits all matching records grouped by status, without empty groups, after the snapshot and after changes. */
export function groupByStatus<R extends RecordWithId>(): OperatorFunction<
  WatchEvent<R>,
  ReadonlyMap<TaskStatus, readonly R[]>
> {
  return emitSummaries((known) => {
    const groups = new Map<TaskStatus, R[]>();
    for (const { record, status } of known.values()) {
      const group = groups.get(status);
      if (group === undefined) groups.set(status, [record]);
      else group.push(record);
    }
    return groups;
  });
}

/** Emits the progress of all matching tasks after the snapshot and after changes. */
export function progress<R extends RecordWithId>(): OperatorFunction<WatchEvent<R>, Progress> {
  return emitSummaries((known) => countProgress([...known.values()].map(({ status }) => status)));
}

/**
 * Emits a summary of all matching records. Changes that arrive together result in one emission, because a source may
 * deliver thousands at once, and the cost of each summary is proportional to the number of records.
 */
function emitSummaries<R extends RecordWithId, A>(
  summarize: (known: ReadonlyMap<string, RecordState<R>>) => A,
): OperatorFunction<WatchEvent<R>, A> {
  return (source) =>
    new Observable((subscriber) => {
      const known = new Map<string, RecordState<R>>();
      let isDue = false;
      const flush = (): void => {
        if (!isDue || subscriber.closed) return;
        isDue = false;
        subscriber.next(summarize(known));
      };
      return source.subscribe({
        next: (event) => {
          if (event.type === 'snapshot') {
            known.clear();
            for (const [i, record] of event.records.entries())
              known.set(record.msg_id, { record, status: event.statuses[i] ?? 'unassigned' });
          } else if (event.type === 'left') known.delete(event.record.msg_id);
          else known.set(event.record.msg_id, { record: event.record, status: event.status });
          if (isDue) return;
          isDue = true;
          queueMicrotask(flush);
        },
        error: (error: unknown) => {
          flush();
          subscriber.error(error);
        },
        complete: () => {
          flush();
          subscriber.complete();
        },
      });
    });
}
