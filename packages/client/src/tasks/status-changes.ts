import { Observable } from 'rxjs';
import type { Task } from './task.js';

/** Up to this number of tasks, every change is emitted. */
const MAX_UNTHROTTLED_TASKS = 100;
/** With more tasks, an emission is followed by a pause of this many times its duration, which grows with the tasks. */
const PAUSE_FACTOR = 4;

/**
 * Emits `read()` at once and after changes of the tasks' statuses. Completes when all tasks have ended, or errors then if one
 * of them is unknown. With many tasks, changes in quick succession are emitted together; the last one is always emitted.
 */
export function statusChanges<A>(tasks: readonly Task[], read: () => A): Observable<A> {
  return new Observable((subscriber) => {
    let unfinishedCount = tasks.length;
    let isSubscribed = false;
    let pausedUntil = 0;
    let timer: NodeJS.Timeout | undefined;
    const emitNext = (): void => {
      clearTimeout(timer);
      timer = undefined;
      const start = performance.now();
      subscriber.next(read());
      const end = performance.now();
      pausedUntil = end + PAUSE_FACTOR * (end - start);
    };
    const onChange = (): void => {
      if (!isSubscribed || timer !== undefined) return;
      const pause = pausedUntil - performance.now();
      if (tasks.length <= MAX_UNTHROTTLED_TASKS || pause <= 0) emitNext();
      else timer = setTimeout(emitNext, pause);
    };
    let firstError: { readonly error: unknown } | undefined;
    const finish = (): void =>
      firstError === undefined ? subscriber.complete() : subscriber.error(firstError.error);
    const onError = (error: unknown): void => {
      firstError ??= { error };
      onEnd();
    };
    const onEnd = (): void => {
      unfinishedCount--;
      if (!isSubscribed || unfinishedCount > 0) return;
      if (timer !== undefined) emitNext();
      finish();
    };
    subscriber.add(() => clearTimeout(timer));
    for (const task of tasks) {
      // The initial status of each task is part of the first emission.
      subscriber.add(task.status$.subscribe({ next: onChange, complete: onEnd, error: onError }));
    }
    isSubscribed = true;
    emitNext();
    if (unfinishedCount === 0) finish();
  });
}
