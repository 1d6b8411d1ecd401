import { Observable } from 'rxjs';
import type { Task } from './task.js';

/** Up to this number of tasks, every change is emitted. */
const FEW = 100;
/** With more tasks, an emission is followed by a pause of this many times its duration, which grows with the tasks. */
const PAUSE_FACTOR = 4;

/**
 * Emits `read()` at once and after changes of the tasks' statuses. Completes when all tasks have ended, or errors then if one
 * of them is unknown. With many tasks, changes in quick succession are emitted together; the last one is always emitted.
 */
export function statusChanges<A>(tasks: readonly Task[], read: () => A): Observable<A> {
  return new Observable((subscriber) => {
    let open = tasks.length;
    let begun = false;
    let pausedUntil = 0;
    let timer: NodeJS.Timeout | undefined;
    const next = (): void => {
      clearTimeout(timer);
      timer = undefined;
      const start = performance.now();
      subscriber.next(read());
      const end = performance.now();
      pausedUntil = end + PAUSE_FACTOR * (end - start);
    };
    const changed = (): void => {
      if (!begun || timer !== undefined) return;
      const pause = pausedUntil - performance.now();
      if (tasks.length <= FEW || pause <= 0) next();
      else timer = setTimeout(next, pause);
    };
    let unknown: { readonly error: unknown } | undefined;
    const finish = (): void =>
      unknown === undefined ? subscriber.complete() : subscriber.error(unknown.error);
    const failed = (error: unknown): void => {
      unknown ??= { error };
      ended();
    };
    const ended = (): void => {
      open--;
      if (!begun || open > 0) return;
      if (timer !== undefined) next();
      finish();
    };
    subscriber.add(() => clearTimeout(timer));
    for (const task of tasks) {
      // The initial status of each task is part of the first emission.
      subscriber.add(task.status$.subscribe({ next: changed, complete: ended, error: failed }));
    }
    begun = true;
    next();
    if (open === 0) finish();
  });
}
