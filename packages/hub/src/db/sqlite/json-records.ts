import { isUtf8 } from 'node:buffer';
import { TASK_COLUMNS } from '@ipyparallel-js/protocol/internal';
import type { FoundTask, JsonField } from '../task-database.js';
import type { Layout } from './layout.js';

const DIGITS = (count: number): string => '[0-9]'.repeat(count);
const SECONDS = `${DIGITS(4)}-${DIGITS(2)}-${DIGITS(2)}T${DIGITS(2)}:${DIGITS(2)}:${DIGITS(2)}`;
/** Dates as every hub writes them: without a fraction when there are no microseconds. */
const USUAL_DATES = [`${SECONDS}.${DIGITS(6)}+00:00`, `${SECONDS}+00:00`];

/** What selects a row `t` as JSON. */
export interface JsonSelection {
  /** The object, a text. */
  readonly object: string;
  /** Whether a cell must be looked at with care; then the object is worth nothing. */
  readonly odd: string;
}

export function jsonSelection(layout: Layout, fields: readonly JsonField[]): JsonSelection {
  const members = fields.map((field, i) => member(layout, field, i === 0));
  return {
    object: `concat('{', ${members.join(', ')}, '}')`,
    odd: `(${['t.msg_id IS NULL', ...fields.map((field) => oddity(layout, field))].join(' OR ')})`,
  };
}

/**
 * Selects rows `t`, which `j.key` numbers and gives in that order, as one value of JSON objects with commas between them.
 * Beside it: how many they are; how many of them are odd; and the last one's number. SQLite does in a tenth of the time
 * what reading each cell and writing it again would take. An `ORDER BY` inside would sort the objects themselves, which
 * takes twice as long as making them: the outer loop of a CROSS JOIN is the order.
 */
export function selectJson({ object, odd }: JsonSelection): string {
  return `CAST(group_concat(${object}, ',') AS BLOB), count(*), total(${odd}), max(j.key)`;
}

function member(layout: Layout, { name, column, optional = false }: JsonField, first: boolean): string {
  const cell = layout.column(column);
  const label = `'${first ? '' : ','}${JSON.stringify(name).replaceAll("'", "''")}:'`;
  const value = jsonValue(column, cell);
  if (optional) return `coalesce(${label} || ${value}, '')`;
  return `${label}, coalesce(${value}, 'null')`;
}

function jsonValue(column: JsonField['column'], cell: string): string {
  switch (TASK_COLUMNS[column]) {
    case 'date':
      return `'"' || iif(length(${cell}) = 25, substr(${cell}, 1, 19) || '.000000', substr(${cell}, 1, 26)) || 'Z"'`;
    case 'dict':
      return cell;
    default:
      // Of null it would make a text.
      return `CASE WHEN ${cell} IS NOT NULL THEN json_quote(${cell}) END`;
  }
}

function oddity(layout: Layout, { column }: JsonField): string {
  const cell = layout.column(column);
  switch (TASK_COLUMNS[column]) {
    case 'date':
      return `coalesce(${USUAL_DATES.map((usual) => `${cell} NOT GLOB '${usual}'`).join(' AND ')}, 0)`;
    case 'dict':
      // Its first character tells an object; what else a dict may be is for the careful way.
      return `coalesce(NOT json_valid(${cell}) OR substr(${cell}, 1, 1) <> '{', 0)`;
    default:
      return `coalesce(typeof(${cell}) <> 'text' AND ${cell} IS NOT NULL, 0)`;
  }
}

/** The value of {@link selectJson}, unless a text in it is none. */
export function soundJson(value: ArrayBuffer | Uint8Array | null): Uint8Array | undefined {
  if (value === null) return undefined;
  const json = value instanceof Uint8Array ? value : new Uint8Array(value);
  return isUtf8(json) ? json : undefined;
}

/** The same object of a task that was read with care. */
export function jsonOf(task: FoundTask, fields: readonly JsonField[]): Uint8Array {
  const record: Record<string, unknown> = {};
  for (const { name, column, optional = false } of fields) {
    const value = task[column] ?? null;
    if (value !== null || !optional) record[name] = value;
  }
  return new TextEncoder().encode(JSON.stringify(record));
}
