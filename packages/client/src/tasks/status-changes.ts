import { Observable } from 'rxjs';
import type { Task } from './task.js';

/** Of so many tasks every change is told by itself. */
const FEW = 100;
/** Of more, a telling is followed by a rest so many times as long: each costs as much as there are tasks. */
const REST = 4;

/**
 * What is told of the statuses of several tasks: at once, and after changes; completes when all have ended, or errors then where one of them is known to nobody. Of many tasks changes that
 * come close together make one, the last of which is always told.
 */
export function statusChanges<A>(tasks: readonly Task[], tell: () => A): Observable<A> {
  return new Observable((subscriber) => {
    let open = tasks.length;
    let begun = false;
    let rested = 0;
    let timer: NodeJS.Timeout | undefined;
    const next = (): void => {
      clearTimeout(timer);
      timer = undefined;
      const start = performance.now();
      subscriber.next(tell());
      const end = performance.now();
      rested = end + REST * (end - start);
    };
    const changed = (): void => {
      if (!begun || timer !== undefined) return;
      const rest = rested - performance.now();
      if (tasks.length <= FEW || rest <= 0) next();
      else timer = setTimeout(next, rest);
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
      // What it is at first is told with that of all.
      subscriber.add(task.status$.subscribe({ next: changed, complete: ended, error: failed }));
    }
    begun = true;
    next();
    if (open === 0) finish();
  });
}
