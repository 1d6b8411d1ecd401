import { partialResults } from '@ipyparallel-js/protocol/internal';
import { concatMap, filter, map, type Observable } from 'rxjs';
import type { OutputOfTask } from '../tasks/task-metadata.js';

/** A value that the generator of a task yielded. */
export interface PartialResult<Y = unknown> {
  readonly msgId: string;
  readonly engineId: number | null;
  /** The number of values that the task yielded before this one. */
  readonly index: number;
  readonly value: Y;
}

/** Emits the yielded values in the output of tasks, each once. */
export function partialsOf<Y>(output$: Observable<OutputOfTask>): Observable<PartialResult<Y>> {
  // Output that is replayed to a late subscriber may contain values again.
  const next = new Map<string, number>();
  return output$.pipe(
    concatMap(({ msgId, engineId, output }) => {
      const partial = output.type === 'data' ? partialResults(output.data) : undefined;
      const { from, values } = partial ?? { from: 0, values: [] };
      return values.map((value, i) => ({ msgId, engineId, index: from + i, value: value as Y }));
    }),
    filter(({ msgId, index }) => index >= (next.get(msgId) ?? 0)),
    map((each) => {
      next.set(each.msgId, each.index + 1);
      return each;
    }),
  );
}
