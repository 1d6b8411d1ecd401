import { partialResults } from '@ipyparallel-js/protocol/internal';
import { concatMap, filter, map, type Observable } from 'rxjs';
import type { OutputOfTask } from '../tasks/task-metadata.js';

/** A value that the generator of a task has yielded. */
export interface PartialResult<Y = unknown> {
  readonly msgId: string;
  readonly engineId: number | null;
  /** How many values of the task came before it. */
  readonly index: number;
  readonly value: Y;
}

/** The yielded values in what tasks put out, each once. */
export function partialsOf<Y>(output$: Observable<OutputOfTask>): Observable<PartialResult<Y>> {
  // What is replayed to a late listener may come once more.
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
