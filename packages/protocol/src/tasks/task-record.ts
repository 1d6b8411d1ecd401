import { parseWireDate, type WireDate } from '../common/dates.js';
import { type Dict, isDict } from '../common/dict.js';
import { textOfDate } from '../common/exact-date.js';

/**
 * The record of one task in the Task Database. A key without a value is null.
 * Mirrors `TaskRecord` of ipyparallel, with the keys of its documentation and of its current version.
 */
export interface TaskRecord {
  /** The id of the task; never null. */
  readonly msg_id: string;
  /** The header of the request; null when the hub received output of the task but never its request. */
  readonly header: Dict | null;
  readonly metadata: Dict | null;
  readonly content: Dict | null;
  /** The serialized function and arguments. */
  readonly buffers: readonly Uint8Array[] | null;
  /** When the client submitted the task. */
  readonly submitted: Date | null;
  /** The session of the client that submitted the task. */
  readonly client_uuid: string | null;
  /** The engine of the task; null until a scheduler has assigned one. */
  readonly engine_uuid: string | null;
  /** When the engine started the task; the hub writes it with the result. */
  readonly started: Date | null;
  /** When the engine finished the task, successfully or not. */
  readonly completed: Date | null;
  /** The id of the new task if this one was resubmitted. */
  readonly resubmitted: string | null;
  /** When the result reached the hub. */
  readonly received: Date | null;
  readonly result_header: Dict | null;
  readonly result_metadata: Dict | null;
  readonly result_content: Dict | null;
  /** The serialized result. */
  readonly result_buffers: readonly Uint8Array[] | null;
  /** `mux` for direct and broadcast views, `task` for load-balanced views. */
  readonly queue: string | null;
  /** The code that was executed. */
  readonly execute_input: string | null;
  /** The content of the `execute_result` message, which holds the value of the last expression. */
  readonly execute_result: Dict | null;
  /** The content of the `error` message. */
  readonly error: Dict | null;
  readonly stdout: string | null;
  readonly stderr: string | null;
  /** The label given at submission; always null on hubs before ipyparallel 9. */
  readonly label: string | null;
  /** The content of the last `display_data` message; always null on some hubs. */
  readonly display_data: Dict | null;
}

/** A key of {@link TaskRecord}. */
export type TaskKey = keyof TaskRecord;

/** The kind of a column's values; determines how they compare and which values a query may compare them with. */
export type ColumnKind = 'text' | 'date' | 'dict' | 'buffers';

/** Every TaskRecord key and the kind of its values. */
export const TASK_COLUMNS = {
  msg_id: 'text',
  header: 'dict',
  metadata: 'dict',
  content: 'dict',
  buffers: 'buffers',
  submitted: 'date',
  client_uuid: 'text',
  engine_uuid: 'text',
  started: 'date',
  completed: 'date',
  resubmitted: 'text',
  received: 'date',
  result_header: 'dict',
  result_metadata: 'dict',
  result_content: 'dict',
  result_buffers: 'buffers',
  queue: 'text',
  execute_input: 'text',
  execute_result: 'dict',
  error: 'dict',
  stdout: 'text',
  stderr: 'text',
  label: 'text',
  display_data: 'dict',
} as const satisfies { readonly [K in TaskKey]: ColumnKind };

/** Older key names, from ipyparallel's documentation of 2011, and their current names. */
export const KEY_ALIASES = { pyin: 'execute_input', pyout: 'execute_result', pyerr: 'error' } as const;

/** An older name of a key, for example `pyin` for `execute_input`. */
export type KeyAlias = keyof typeof KEY_ALIASES;

/** All keys in the order of {@link TASK_COLUMNS}. */
export const TASK_KEYS = Object.keys(TASK_COLUMNS) as readonly TaskKey[];

/** Whether a name is a TaskRecord key; older names are not. */
export function isTaskKey(name: string): name is TaskKey {
  return Object.hasOwn(TASK_COLUMNS, name);
}

/** Whether a name is an older name of a key. */
export function isKeyAlias(name: string): name is KeyAlias {
  return Object.hasOwn(KEY_ALIASES, name);
}

const EXACT_TIMES_KEY: unique symbol = Symbol('ipyparallel-js.exactTimes');

/** A key whose value is a date. */
export type DateKey = 'submitted' | 'started' | 'completed' | 'received';

/**
 * Returns a date of a record with its microseconds, for example `2026-11-22T14:29:40.384024Z`; null when the record has
 * no such date. A copy of a record (`{ ...record }`, `structuredClone`) has no microseconds.
 */
export function exactTime(record: { readonly [K in DateKey]?: Date | null }, key: DateKey): string | null;
/**
 * Returns the ISO 8601 text of a Python datetime in a result, with its microseconds and its UTC offset, for example
 * `2026-11-22T14:29:40.384024+01:00`. A datetime without a zone has no offset. Returns null when the Date is not from a
 * Python result, is a copy or was changed.
 */
export function exactTime(date: Date): string | null;
export function exactTime(
  record: Date | { readonly [K in DateKey]?: Date | null },
  key?: DateKey,
): string | null {
  if (record instanceof Date) return textOfDate(record);
  if (key === undefined) return null;
  const exact = (record as { readonly [EXACT_TIMES_KEY]?: Partial<Record<string, string>> })[
    EXACT_TIMES_KEY
  ]?.[key];
  if (exact !== undefined) return exact;
  const date = record[key];
  return date instanceof Date ? `${date.toISOString().slice(0, 23)}000Z` : null;
}

/** A record on the wire: dates are strings, and buffers are sent separately. */
export type WireRecord = Dict;

/** The buffers of one wire record. */
export interface RecordBuffers {
  readonly buffers?: readonly Uint8Array[];
  readonly result_buffers?: readonly Uint8Array[];
}

/**
 * Decodes the given keys of one record of a `db_reply`. A key missing from the reply is null, `stdout` and `stderr`
 * included. `error` and `execute_result` are objects, although Python hubs with SQLite send them as JSON text.
 */
export function decodeRecord(
  wire: WireRecord,
  keys: readonly TaskKey[],
  buffers: RecordBuffers = {},
): Partial<TaskRecord> {
  const record: Record<string, unknown> = {};
  let exact: Record<string, string> | undefined;
  for (const key of keys) {
    const kind = TASK_COLUMNS[key];
    const value = Object.hasOwn(wire, key) ? (wire[key] ?? null) : null;
    if (kind === 'date') {
      const parsed: WireDate | undefined = typeof value === 'string' ? parseWireDate(value) : undefined;
      record[key] = parsed?.date ?? null;
      if (parsed !== undefined) {
        exact ??= {};
        exact[key] = parsed.exact;
      }
    } else if (kind === 'buffers') {
      record[key] = buffers[key as 'buffers' | 'result_buffers'] ?? null;
    } else if (kind === 'dict') {
      record[key] = decodeDict(value);
    } else {
      record[key] = value;
    }
  }
  if (exact !== undefined)
    Object.defineProperty(record, EXACT_TIMES_KEY, { value: exact, enumerable: false });
  return record as Partial<TaskRecord>;
}

/**
 * Creates a faster {@link decodeRecord}, without buffers, for many records of the same keys. It takes over the wire
 * record: if it has exactly these keys in this order, as our hub writes them, it is modified and returned, not copied.
 */
export function recordDecoder(keys: readonly TaskKey[]): (wire: WireRecord) => Partial<TaskRecord> {
  const dates = keys.filter((key) => TASK_COLUMNS[key] === 'date');
  const dicts = keys.filter((key) => TASK_COLUMNS[key] === 'dict');
  const hasBuffers = keys.some((key) => TASK_COLUMNS[key] === 'buffers');
  // Our hub omits display_data when it is null.
  const minLength = keys.at(-1) === 'display_data' ? keys.length - 1 : keys.length;
  return (wire) => {
    const names = Object.keys(wire);
    const canReuse =
      !hasBuffers &&
      (names.length === minLength || names.length === keys.length) &&
      names.every((name, i) => name === keys[i]);
    if (!canReuse) return decodeRecord(wire, keys);
    const record = wire as Record<string, unknown>;
    if (names.length < keys.length) record['display_data'] = null;
    let exact: Record<string, string> | undefined;
    for (const key of dates) {
      const value = record[key];
      const parsed = typeof value === 'string' ? parseWireDate(value) : undefined;
      record[key] = parsed?.date ?? null;
      if (parsed === undefined) continue;
      exact ??= {};
      exact[key] = parsed.exact;
    }
    for (const key of dicts) if (typeof record[key] === 'string') record[key] = decodeDict(record[key]);
    if (exact !== undefined)
      Object.defineProperty(record, EXACT_TIMES_KEY, { value: exact, enumerable: false });
    return record as Partial<TaskRecord>;
  };
}

/** A requested key. */
export interface ProjectedKey {
  /** The name in the request, which may be an older one. */
  readonly name: string;
  /** The current name. */
  readonly column: TaskKey;
}

/** Copies the requested keys of a record, under the requested names; {@link exactTime} still works on the copy. */
export function projectRecord(
  record: Partial<TaskRecord>,
  keys: readonly ProjectedKey[],
): { [key: string]: unknown } {
  const projected: { [key: string]: unknown } = {};
  for (const { name, column } of keys) projected[name] = record[column] ?? null;
  const exact: unknown = (record as { readonly [EXACT_TIMES_KEY]?: unknown })[EXACT_TIMES_KEY];
  if (exact !== undefined)
    Object.defineProperty(projected, EXACT_TIMES_KEY, { value: exact, enumerable: false });
  return projected;
}

function decodeDict(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  try {
    const parsed: unknown = JSON.parse(value);
    return isDict(parsed) ? parsed : value;
  } catch {
    return value;
  }
}
