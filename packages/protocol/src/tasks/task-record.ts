import { parseWireDate, type WireDate } from '../common/dates.js';
import { type Dict, isDict } from '../common/dict.js';
import { textOfDate } from '../common/exact-date.js';

/**
 * One task as the Task Database keeps it. Keys are those on the wire; all of the documentation's and of today's
 * ipyparallel. A key without a value is null. Mirrors ipyparallel's TaskRecord.
 */
export interface TaskRecord {
  /** The task's id; always present. */
  readonly msg_id: string;
  /** The request's header; null for output whose request the hub never saw. */
  readonly header: Dict | null;
  readonly metadata: Dict | null;
  readonly content: Dict | null;
  /** Serialized request objects. */
  readonly buffers: readonly Uint8Array[] | null;
  /** When the client submitted it. */
  readonly submitted: Date | null;
  /** The session that submitted it. */
  readonly client_uuid: string | null;
  /** The engine that has or had it. */
  readonly engine_uuid: string | null;
  /** When the engine began; stock hubs write it with the result. */
  readonly started: Date | null;
  /** When the engine finished, in success or failure. */
  readonly completed: Date | null;
  /** The id of the task that a resubmission of this one made. */
  readonly resubmitted: string | null;
  /** When the result reached the hub. */
  readonly received: Date | null;
  readonly result_header: Dict | null;
  readonly result_metadata: Dict | null;
  readonly result_content: Dict | null;
  /** Serialized result objects. */
  readonly result_buffers: readonly Uint8Array[] | null;
  /** `mux` or `task`. */
  readonly queue: string | null;
  /** The code that was executed. */
  readonly execute_input: string | null;
  /** The content of the `execute_result` message: the value of the last expression. */
  readonly execute_result: Dict | null;
  /** The content of the `error` message. */
  readonly error: Dict | null;
  readonly stdout: string | null;
  readonly stderr: string | null;
  /** The label given at submission; from ipyparallel 9 on, missing before. */
  readonly label: string | null;
  /** The content of the last `display_data` message; on some hubs only. */
  readonly display_data: Dict | null;
}

/** A key of {@link TaskRecord}. */
export type TaskKey = keyof TaskRecord;

/** What a column holds: decides how it is compared and which values a query may test it with. */
export type ColumnKind = 'text' | 'date' | 'dict' | 'buffers';

/** Every TaskRecord key and what it holds. */
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

/** The older names of the 2011 documentation and what they are called today. */
export const KEY_ALIASES = { pyin: 'execute_input', pyout: 'execute_result', pyerr: 'error' } as const;

/** An older name of a key. */
export type KeyAlias = keyof typeof KEY_ALIASES;

/** All keys in the order of {@link TASK_COLUMNS}. */
export const TASK_KEYS = Object.keys(TASK_COLUMNS) as readonly TaskKey[];

/** Whether a name is a TaskRecord key (older names are not). */
export function isTaskKey(name: string): name is TaskKey {
  return Object.hasOwn(TASK_COLUMNS, name);
}

/** Whether a name is one of the older ones. */
export function isKeyAlias(name: string): name is KeyAlias {
  return Object.hasOwn(KEY_ALIASES, name);
}

const EXACT: unique symbol = Symbol('ipyparallel-js.exactTimes');

/** The keys that hold dates. */
export type DateKey = 'submitted' | 'started' | 'completed' | 'received';

/**
 * The six-digit text of a date in a record that came from a hub, for example `2026-11-22T14:29:40.384024Z`;
 * null where the record has none. A copy of a record (`{ ...record }`, structuredClone) has milliseconds only.
 */
export function exactTime(record: { readonly [K in DateKey]?: Date | null }, key: DateKey): string | null;
/**
 * Python's text of a datetime in a result, with its microseconds and its offset: `2026-11-22T14:29:40.384024+01:00`,
 * without an offset where it had no zone; null where the Date came from elsewhere, is a copy or was changed.
 */
export function exactTime(date: Date): string | null;
export function exactTime(
  record: Date | { readonly [K in DateKey]?: Date | null },
  key?: DateKey,
): string | null {
  if (record instanceof Date) return textOfDate(record);
  if (key === undefined) return null;
  const exact = (record as { readonly [EXACT]?: Partial<Record<string, string>> })[EXACT]?.[key];
  if (exact !== undefined) return exact;
  const date = record[key];
  return date instanceof Date ? `${date.toISOString().slice(0, 23)}000Z` : null;
}

/** A record as the wire carries it: dates as text, buffers apart. */
export type WireRecord = Dict;

/** The buffers that travel beside one wire record. */
export interface RecordBuffers {
  readonly buffers?: readonly Uint8Array[];
  readonly result_buffers?: readonly Uint8Array[];
}

/**
 * Reads one record of a `db_reply`: the keys asked for, and no others. What the hub left out is null (`stdout`
 * and `stderr` too); `error` and `execute_result` are objects even where SQLite hubs send JSON text.
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
  if (exact !== undefined) Object.defineProperty(record, EXACT, { value: exact, enumerable: false });
  return record as Partial<TaskRecord>;
}

/**
 * Like {@link decodeRecord} without buffers, for many records of the same keys that are nobody else's: one that has just
 * those keys, in their order, as our hub writes them, becomes the record instead of being copied.
 */
export function recordDecoder(keys: readonly TaskKey[]): (wire: WireRecord) => Partial<TaskRecord> {
  const dates = keys.filter((key) => TASK_COLUMNS[key] === 'date');
  const dicts = keys.filter((key) => TASK_COLUMNS[key] === 'dict');
  const hasBuffers = keys.some((key) => TASK_COLUMNS[key] === 'buffers');
  // Our hub leaves it out where it is null.
  const always = keys.at(-1) === 'display_data' ? keys.length - 1 : keys.length;
  return (wire) => {
    const names = Object.keys(wire);
    const fits = !hasBuffers && (names.length === always || names.length === keys.length);
    if (!(fits && names.every((name, i) => name === keys[i]))) return decodeRecord(wire, keys);
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
    if (exact !== undefined) Object.defineProperty(record, EXACT, { value: exact, enumerable: false });
    return record as Partial<TaskRecord>;
  };
}

/** A key as it was asked for (an older name perhaps) and the column it stands for. */
export interface ProjectedKey {
  readonly name: string;
  readonly column: TaskKey;
}

/** The record with only the keys asked for, under the names asked for; six-digit times stay readable. */
export function projectRecord(
  record: Partial<TaskRecord>,
  keys: readonly ProjectedKey[],
): { [key: string]: unknown } {
  const projected: { [key: string]: unknown } = {};
  for (const { name, column } of keys) projected[name] = record[column] ?? null;
  const exact: unknown = (record as { readonly [EXACT]?: unknown })[EXACT];
  if (exact !== undefined) Object.defineProperty(projected, EXACT, { value: exact, enumerable: false });
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
