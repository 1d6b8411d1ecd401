import type { KEY_ALIASES, KeyAlias, TASK_COLUMNS, TaskKey, TaskRecord } from '../tasks/task-record.js';

/** A JSON-like value, as a query may compare a dict or a path in one with (dates inside dicts are texts). */
export type QueryValue = string | number | boolean | null | readonly QueryValue[] | QueryDict;

/** A dict to compare with. What begins with `$` is an operator, never a key. */
export interface QueryDict {
  readonly [key: string]: QueryValue;
  readonly [operator: `$${string}`]: never;
}

/** The operators that compare with a value. All of one object must hold. */
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
  /** Equal to all of these, or holding them all if it is a list; an empty list matches nothing. */
  readonly $all?: readonly (T | null)[];
  /**
   * Whether the field is there, null or not. Every TaskRecord key is, except that `label` and `display_data` are where
   * they are not null.
   */
  readonly $exists?: boolean;
  /** The field's type, or one of several; `number` stands for every kind of number. */
  readonly $type?: TypeName | readonly TypeName[];
  /** @deprecated The documentation's spelling of `$gt` (`>`). Readers expect `>=`: write `$gt` or `$gte`. */
  readonly $ge?: T | null;
  /** @deprecated The documentation's spelling of `$lt` (`<`). Readers expect `<=`: write `$lt` or `$lte`. */
  readonly $le?: T | null;
}

/** A type by MongoDB's name or number. A whole number is an `int` if it fits 32 bits, a `long` if it fits 64. */
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

/** The operators that look for a pattern in a text. */
export interface PatternOperators {
  /** Shell pattern of Python's fnmatch: `*`, `?`, `[abc]`, `[!abc]`; case counts. */
  readonly $glob?: string;
  /**
   * A regular expression in RE2's syntax, found anywhere in the text. A RegExp brings its flags, of which `i`, `m` and
   * `s` are known; lookaround and back-references are not.
   */
  readonly $regex?: string | RegExp;
  /** Flags of a `$regex` that is a text: `i`, `m`, `s`. */
  readonly $options?: string;
}

/** The operators of a date or a dict, and those of a text without its patterns. */
export interface ColumnOperators<T> extends Operators<T> {
  /** Does not match these; nulls and missing fields are included where these leave them out. */
  readonly $not?: ColumnOperators<T>;
}

/** The operators of a text field. */
export interface TextOperators extends TextListOperators, PatternOperators {
  /** Does not match these, or a pattern; nulls and missing fields are included. */
  readonly $not?: TextOperators | RegExp;
}

interface TextListOperators extends Omit<Operators<string>, '$in' | '$nin' | '$all'> {
  /** Equal to one of these, or matched by one; an empty list matches nothing. */
  readonly $in?: readonly (string | RegExp | null | undefined)[];
  /** Equal to none of these, nor matched by one; nulls are included unless listed. */
  readonly $nin?: readonly (string | RegExp | null | undefined)[];
  readonly $all?: readonly (string | RegExp | null)[];
}

/** The operators of a dotted path, whose values may be anything. */
export interface PathOperators
  extends Omit<Operators<QueryValue>, '$in' | '$nin' | '$all'>,
    PatternOperators {
  readonly $in?: readonly (QueryValue | RegExp | undefined)[];
  readonly $nin?: readonly (QueryValue | RegExp | undefined)[];
  /** Equal to all of these, or a list that holds them all; or a list with an item for each `$elemMatch`. */
  readonly $all?: readonly (QueryValue | RegExp)[] | readonly Required<Pick<PathOperators, '$elemMatch'>>[];
  /** A whole number that leaves the remainder when divided: `[divisor, remainder]`. */
  readonly $mod?: readonly [number, number];
  /** A list of so many items. */
  readonly $size?: number;
  /** A list with an item that satisfies all of these: operators for the item itself, or a query on an object's keys. */
  readonly $elemMatch?: PathOperators | ElementQuery;
  /** Does not match these, or a pattern; a missing field is included where these leave it out. */
  readonly $not?: PathOperators | RegExp;
}

/** A query on the items of a list; paths begin at the item. */
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

/** The columns that a dotted path may begin with. */
export type DictKey = {
  [K in TaskKey]: (typeof TASK_COLUMNS)[K] extends 'dict' ? K : never;
}[TaskKey];

type PathRoot = DictKey | 'pyout' | 'pyerr';

/**
 * A query: TaskRecord keys, or dotted paths into their dicts, with a plain value or operators.
 * All conditions must hold; `{}` matches every task. Mirrors the query of ipyparallel `Client.db_query`.
 */
export type TaskQuery = Junctions & {
  readonly [K in TaskKey]?: ColumnCondition<K>;
} & {
  readonly [A in KeyAlias]?: ColumnCondition<(typeof KEY_ALIASES)[A]>;
} & {
  readonly [P in `${PathRoot}.${string}`]?: QueryValue | RegExp | PathOperators;
};

interface Junctions {
  /** All of these queries match. */
  readonly $and?: readonly TaskQuery[];
  /** One of these queries matches. */
  readonly $or?: readonly TaskQuery[];
  /** None of these queries matches. */
  readonly $nor?: readonly TaskQuery[];
}

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
