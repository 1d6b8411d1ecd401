import { ConnectionClosedError, isDone, type TaskStatus } from '@ipyparallel-js/protocol';
import { checkOptions } from '@ipyparallel-js/protocol/internal';
import { Observable, type OperatorFunction } from 'rxjs';
import { countProgress, type Progress } from '../tasks/progress.js';
import type { WatchEvent } from './watch-event.js';

/** A record of a live query as these operators see it. */
interface Identified {
  readonly msg_id: string;
}

/** What a live query has told so far. */
interface Known<R> {
  readonly record: R;
  readonly status: TaskStatus;
}

/**
 * Passes a live query on until its snapshot has come and every record in it has ended; then completes. `atLeast` waits
 * for so many records first: tasks that were just submitted may not be in the database yet; 0 by default. Errors with
 * ConnectionClosedError where the live query completes before, as it does when its client is closed.
 */
export function untilDone<R extends Identified>(
  options: { readonly atLeast?: number } = {},
): OperatorFunction<WatchEvent<R>, WatchEvent<R>> {
  checkOptions(options, { atLeast: true }, 'untilDone');
  const { atLeast = 0 } = options;
  return (source) =>
    new Observable((subscriber) => {
      const met = new Set<string>();
      const pending = new Set<string>();
      let begun = false;
      const note = (msgId: string, open: boolean): void => {
        if (met.size < atLeast) met.add(msgId);
        if (open) pending.add(msgId);
        else pending.delete(msgId);
      };
      return source.subscribe({
        next: (event) => {
          if (event.type === 'snapshot') {
            begun = true;
            pending.clear();
            for (const [i, { msg_id }] of event.records.entries())
              note(msg_id, !isDone(event.statuses[i] ?? 'unassigned'));
          } else note(event.record.msg_id, event.type !== 'left' && !isDone(event.status));
          subscriber.next(event);
          if (begun && pending.size === 0 && met.size >= atLeast) subscriber.complete();
        },
        error: (error: unknown) => subscriber.error(error),
        // Who waits for the end must not take this for it.
        complete: () => subscriber.error(new ConnectionClosedError('the live query ended before its tasks')),
      });
    });
}

/** The records that match now, in the order in which they came: after the snapshot, and after changes. */
export function records<R extends Identified>(): OperatorFunction<WatchEvent<R>, readonly R[]> {
  return folded((known) => [...known.values()].map(({ record }) => record));
}

/** The records that match now by their status, for those statuses that there are: after the snapshot, and after changes. */
export function groupByStatus<R extends Identified>(): OperatorFunction<
  WatchEvent<R>,
  ReadonlyMap<TaskStatus, readonly R[]>
> {
  return folded((known) => {
    const groups = new Map<TaskStatus, R[]>();
    for (const { record, status } of known.values()) {
      const group = groups.get(status);
      if (group === undefined) groups.set(status, [record]);
      else group.push(record);
    }
    return groups;
  });
}

/** How far the tasks are that match now: after the snapshot, and after changes. */
export function progress<R extends Identified>(): OperatorFunction<WatchEvent<R>, Progress> {
  return folded((known) => countProgress([...known.values()].map(({ status }) => status)));
}

/**
 * What is told from all that matches now. Changes that come together make one: the source may bring thousands at once,
 * and each answer costs as much as there are records.
 */
function folded<R extends Identified, A>(
  answer: (known: ReadonlyMap<string, Known<R>>) => A,
): OperatorFunction<WatchEvent<R>, A> {
  return (source) =>
    new Observable((subscriber) => {
      const known = new Map<string, Known<R>>();
      let due = false;
      const flush = (): void => {
        if (!due || subscriber.closed) return;
        due = false;
        subscriber.next(answer(known));
      };
      return source.subscribe({
        next: (event) => {
          if (event.type === 'snapshot') {
            known.clear();
            for (const [i, record] of event.records.entries())
              known.set(record.msg_id, { record, status: event.statuses[i] ?? 'unassigned' });
          } else if (event.type === 'left') known.delete(event.record.msg_id);
          else known.set(event.record.msg_id, { record: event.record, status: event.status });
          if (due) return;
          due = true;
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
