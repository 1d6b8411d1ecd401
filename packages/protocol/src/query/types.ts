import type { KEY_ALIASES, KeyAlias, TASK_COLUMNS, TaskKey, TaskRecord } from '../tasks/task-record.js';

/** A JSON value with which a query compares a dict or a path inside a dict. Dates inside dicts are strings. */
export type QueryValue = string | number | boolean | null | readonly QueryValue[] | QueryDict;

/** A dict to compare with. Its keys cannot begin with `$`, which marks an operator. */
export interface QueryDict {
  readonly [key: string]: QueryValue;
  readonly [operator: `$${string}`]: never;
}

/** Comparison operators. All operators of one object must match. */
export interface Operators<T> {
  /** Equal to; null also matches a missing field. */
  readonly $eq?: T | null;
  /** Not equal to; also matches null and missing fields. */
  readonly $ne?: T | null;
  /** Greater than; matches only values of the same type, so never null. */
  readonly $gt?: T | null;
  /** Greater than or equal to; matches only values of the same type. `$gte: null` matches null. */
  readonly $gte?: T | null;
  /** Less than; matches only values of the same type, so never null. */
  readonly $lt?: T | null;
  /** Less than or equal to; matches only values of the same type. `$lte: null` matches null. */
  readonly $lte?: T | null;
  /** Equal to one of these values; an empty list matches nothing. */
  readonly $in?: readonly (T | null | undefined)[];
  /** Equal to none of these values; also matches null unless it is listed. */
  readonly $nin?: readonly (T | null | undefined)[];
  /** Equal to all of these values, or a list that contains them all; an empty list matches nothing. */
  readonly $all?: readonly (T | null)[];
  /**
   * Whether the field exists, null or not. Every TaskRecord key exists, except `label` and `display_data`, which exist
   * only when they are not null.
   */
  readonly $exists?: boolean;
  /** The type of the field, or several types; `number` matches every numeric type. */
  readonly $type?: TypeName | readonly TypeName[];
  /** @deprecated Means `$gt` (`>`), as in ipyparallel's documentation, not `>=`. Write `$gt` or `$gte`. */
  readonly $ge?: T | null;
  /** @deprecated Means `$lt` (`<`), as in ipyparallel's documentation, not `<=`. Write `$lt` or `$lte`. */
  readonly $le?: T | null;
}

/** A MongoDB type by name or number. An integer is an `int` if it fits 32 bits, and a `long` if it fits 64. */
export type TypeName =
  | 'double'
  | 'string'
  | 'object'
  | 'array'
  | 'binData'
  | 'undefined'
  | 'objectId'
  | 'bool'
  | 'date'
  | 'null'
  | 'regex'
  | 'dbPointer'
  | 'javascript'
  | 'symbol'
  | 'javascriptWithScope'
  | 'int'
  | 'timestamp'
  | 'long'
  | 'decimal'
  | 'minKey'
  | 'maxKey'
  | 'number'
  | (number & {});

/** Operators that match a pattern in a string. */
export interface PatternOperators {
  /** A shell pattern for the complete string, as in Python's fnmatch: `*`, `?`, `[abc]`, `[!abc]`; case-sensitive. */
  readonly $glob?: string;
  /**
   * A regular expression in RE2 syntax, matched anywhere in the string. The flags `i`, `m` and `s` of a RegExp apply;
   * other flags, lookaround and back-references are not supported.
   */
  readonly $regex?: string | RegExp;
  /** The flags of a `$regex` string: `i`, `m`, `s`. */
  readonly $options?: string;
}

/** The operators of a date or dict column. */
export interface ColumnOperators<T> extends Operators<T> {
  /** Does not match these operators; also matches null and missing fields unless the operators match them. */
  readonly $not?: ColumnOperators<T>;
}

/** The operators of a text column. */
export interface TextOperators extends TextListOperators, PatternOperators {
  /** Does not match these operators or this pattern; also matches null unless the operators match it. */
  readonly $not?: TextOperators | RegExp;
}

interface TextListOperators extends Omit<Operators<string>, '$in' | '$nin' | '$all'> {
  /** Equal to one of these strings, or matched by one of these patterns; an empty list matches nothing. */
  readonly $in?: readonly (string | RegExp | null | undefined)[];
  /** Equal to none of these strings and matched by none of these patterns; also matches null unless it is listed. */
  readonly $nin?: readonly (string | RegExp | null | undefined)[];
  /** Equal to all of these strings and matched by all of these patterns; an empty list matches nothing. */
  readonly $all?: readonly (string | RegExp | null)[];
}

/** The operators of a dotted path, whose values may have any JSON type. */
export interface PathOperators
  extends Omit<Operators<QueryValue>, '$in' | '$nin' | '$all'>,
    PatternOperators {
  /** Equal to one of these values, or matched by one of these patterns; an empty list matches nothing. */
  readonly $in?: readonly (QueryValue | RegExp | undefined)[];
  /** Equal to none of these values and matched by none of these patterns; also matches missing fields. */
  readonly $nin?: readonly (QueryValue | RegExp | undefined)[];
  /** Equal to all of these, or a list that contains them all; or a list that has an item for each `$elemMatch`. */
  readonly $all?: readonly (QueryValue | RegExp)[] | readonly Required<Pick<PathOperators, '$elemMatch'>>[];
  /** `[divisor, remainder]`: a number that leaves this remainder; its fraction is ignored. */
  readonly $mod?: readonly [number, number];
  /** A list with this number of items. */
  readonly $size?: number;
  /** A list with an item that matches all of these operators, or a query on its keys if the item is an object. */
  readonly $elemMatch?: PathOperators | ElementQuery;
  /** Does not match these operators or this pattern; also matches missing fields unless the operators match them. */
  readonly $not?: PathOperators | RegExp;
}

/** A query on the items of a list; its paths begin at the item. */
export interface ElementQuery {
  readonly [path: string]: QueryValue | RegExp | PathOperators | readonly ElementQuery[] | undefined;
  readonly $and?: readonly ElementQuery[];
  readonly $or?: readonly ElementQuery[];
  readonly $nor?: readonly ElementQuery[];
}

type ColumnCondition<K extends TaskKey> = (typeof TASK_COLUMNS)[K] extends 'text'
  ? string | RegExp | null | TextOperators
  : (typeof TASK_COLUMNS)[K] extends 'date'
    ? Date | null | ColumnOperators<Date>
    : (typeof TASK_COLUMNS)[K] extends 'dict'
      ? QueryDict | null | ColumnOperators<QueryDict>
      : null | Pick<Operators<never>, '$eq' | '$ne' | '$exists'>;

/** A column that holds a dict; a dotted path begins with one. */
export type DictKey = {
  [K in TaskKey]: (typeof TASK_COLUMNS)[K] extends 'dict' ? K : never;
}[TaskKey];

type PathRoot = DictKey | 'pyout' | 'pyerr';

/**
 * A query: each TaskRecord key, or dotted path into a dict, has a value or operators. All conditions must match; `{}`
 * matches every task. Mirrors the query of `Client.db_query` of ipyparallel.
 */
export type TaskQuery = Junctions & {
  readonly [K in TaskKey]?: ColumnCondition<K>;
} & {
  readonly [A in KeyAlias]?: ColumnCondition<(typeof KEY_ALIASES)[A]>;
} & {
  readonly [P in `${PathRoot}.${string}`]?: QueryValue | RegExp | PathOperators;
};

interface Junctions {
  /** All of these queries must match. */
  readonly $and?: readonly TaskQuery[];
  /** At least one of these queries must match. */
  readonly $or?: readonly TaskQuery[];
  /** None of these queries may match. */
  readonly $nor?: readonly TaskQuery[];
}

type SortableKey = { [K in TaskKey]: (typeof TASK_COLUMNS)[K] extends 'text' | 'date' ? K : never }[TaskKey];

/** A key to sort by: a text or date column, or a path into a dict. */
export type SortKey = SortableKey | 'pyin' | `${PathRoot}.${string}`;

/**
 * The order of the records, for example `{ completed: -1 }` or `[['completed', -1]]`: 1 is ascending, -1 descending.
 * Nulls come first in ascending order, dates compare to the millisecond, and `msg_id` breaks ties.
 */
export type TaskSort = { readonly [K in SortKey]?: 1 | -1 } | readonly (readonly [SortKey, 1 | -1])[];

/** A key that a query may request: a TaskRecord key or one of its older names. */
export type ProjectionKey = TaskKey | KeyAlias;

type ColumnOf<K extends ProjectionKey> = K extends TaskKey
  ? K
  : K extends KeyAlias
    ? (typeof KEY_ALIASES)[K]
    : never;

/** The record that a projection returns: the requested keys under the requested names, and `msg_id`. */
export type Projected<K extends ProjectionKey> = {
  readonly [P in K | 'msg_id']: TaskRecord[ColumnOf<P>];
};

/** The record that a query returns without a projection: every key except `buffers` and `result_buffers`. */
export type FullRecord = Omit<TaskRecord, 'buffers' | 'result_buffers'>;
