import type { DictKey, KeyAlias, ProjectionKey, TaskKey } from '@ipyparallel-js/protocol';
import type { KEY_ALIASES, TASK_COLUMNS } from '@ipyparallel-js/protocol/internal';

type ColumnOf<K extends ProjectionKey> = K extends TaskKey
  ? K
  : K extends KeyAlias
    ? (typeof KEY_ALIASES)[K]
    : never;

/** What records may be sorted by: the keys that hold texts or dates, and paths inside dicts. */
export type SortKey =
  | {
      [K in ProjectionKey]: (typeof TASK_COLUMNS)[ColumnOf<K>] extends 'text' | 'date' ? K : never;
    }[ProjectionKey]
  | `${DictKey | 'pyout' | 'pyerr'}.${string}`;

/**
 * An order: `{ completed: -1 }`, or `[['completed', -1], …]`; 1 ascends, -1 descends. Nulls and missing values come
 * first when ascending; `msg_id` breaks ties.
 */
export type TaskSort =
  | { readonly [K in SortKey]?: 1 | -1 }
  | readonly (readonly [key: SortKey, direction: 1 | -1])[];
