import type { KEY_ALIASES, KeyAlias, TASK_COLUMNS, TaskKey, TaskRecord } from '../task-record.js';

/** A JSON-like value, as a query may compare a dict or a path in one with (dates inside dicts are texts). */
export type QueryValue = string | number | boolean | null | readonly QueryValue[] | QueryDict;

/** A dict to compare with. What begins with `$` is an operator, never a key. */
export interface QueryDict {
  readonly [key: string]: QueryValue;
  readonly [operator: `$${string}`]: never;
}

/** The operators that any field takes. All of one object must hold. */
export interface Operators<T> {
  /** Equal; null also stands for a missing field. */
  readonly $eq?: T | null;
  /** Not equal; nulls and missing fields are included. */
  readonly $ne?: T | null;
  /** Greater than; never matches null. */
  readonly $gt?: T | null;
  readonly $gte?: T | null;
  readonly $lt?: T | null;
  readonly $lte?: T | null;
  /** Equal to one of these; an empty list matches nothing. */
  readonly $in?: readonly (T | null | undefined)[];
  /** Equal to none of these; nulls are included unless listed. */
  readonly $nin?: readonly (T | null | undefined)[];
  /** @deprecated The documentation's spelling of `$gt` (`>`). Readers expect `>=`: write `$gt` or `$gte`. */
  readonly $ge?: T | null;
  /** @deprecated The documentation's spelling of `$lt` (`<`). Readers expect `<=`: write `$lt` or `$lte`. */
  readonly $le?: T | null;
}

/** The operators of a text field. */
export interface TextOperators extends Operators<string> {
  /** Shell pattern of Python's fnmatch: `*`, `?`, `[abc]`, `[!abc]`; case counts. */
  readonly $glob?: string;
}

/** The operators of a dotted path, whose values may be anything. */
export interface PathOperators extends Operators<QueryValue> {
  readonly $glob?: string;
}

type ColumnCondition<K extends TaskKey> = (typeof TASK_COLUMNS)[K] extends 'text'
  ? string | null | TextOperators
  : (typeof TASK_COLUMNS)[K] extends 'date'
    ? Date | null | Operators<Date>
    : (typeof TASK_COLUMNS)[K] extends 'dict'
      ? QueryDict | null | Operators<QueryDict>
      : null | Pick<Operators<never>, '$eq' | '$ne'>;

/** The columns that a dotted path may begin with. */
export type DictKey = {
  [K in TaskKey]: (typeof TASK_COLUMNS)[K] extends 'dict' ? K : never;
}[TaskKey];

type PathRoot = DictKey | 'pyout' | 'pyerr';

/**
 * A query: TaskRecord keys, or dotted paths into their dicts, with a plain value or operators.
 * All conditions must hold; `{}` matches every task. Mirrors the query of ipyparallel `Client.db_query`.
 */
export type TaskQuery = {
  readonly [K in TaskKey]?: ColumnCondition<K>;
} & {
  readonly [A in KeyAlias]?: ColumnCondition<(typeof KEY_ALIASES)[A]>;
} & {
  readonly [P in `${PathRoot}.${string}`]?: QueryValue | PathOperators;
};

type SortableKey = { [K in TaskKey]: (typeof TASK_COLUMNS)[K] extends 'text' | 'date' ? K : never }[TaskKey];

/** What records may be sorted by: a text, a date, or a path into a dict. */
export type SortKey = SortableKey | 'pyin' | `${PathRoot}.${string}`;

/**
 * The order of an answer: `{ completed: -1 }`, or a list of pairs; 1 ascends, -1 descends. Nulls come first, dates
 * compare at the millisecond, `msg_id` breaks ties.
 */
export type TaskSort = { readonly [K in SortKey]?: 1 | -1 } | readonly (readonly [SortKey, 1 | -1])[];

/** A key that may be asked for: a TaskRecord key or one of the older names. */
export type ProjectionKey = TaskKey | KeyAlias;

type ColumnOf<K extends ProjectionKey> = K extends TaskKey
  ? K
  : K extends KeyAlias
    ? (typeof KEY_ALIASES)[K]
    : never;

/** The record that a projection gives: the keys asked for under the names asked for, and `msg_id`. */
export type Projected<K extends ProjectionKey> = {
  readonly [P in K | 'msg_id']: TaskRecord[ColumnOf<P>];
};

/** The record without a projection: everything but the two buffers. */
export type FullRecord = Omit<TaskRecord, 'buffers' | 'result_buffers'>;
