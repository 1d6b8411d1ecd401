import type { TaskKey } from '@ipyparallel-js/protocol';
import { TASK_COLUMNS, TASK_KEYS } from '@ipyparallel-js/protocol/internal';

// The columns of ipyparallel's SQLiteDB in their order, with the types as it writes them: it compares the two texts.
const COLUMNS_7: readonly (readonly [TaskKey, string])[] = [
  ['msg_id', 'text PRIMARY KEY'],
  ['header', 'dict text'],
  ['metadata', 'dict text'],
  ['content', 'dict text'],
  ['buffers', 'bufs blob'],
  ['submitted', 'timestamp'],
  ['client_uuid', 'text'],
  ['engine_uuid', 'text'],
  ['started', 'timestamp'],
  ['completed', 'timestamp'],
  ['resubmitted', 'text'],
  ['received', 'timestamp'],
  ['result_header', 'dict text'],
  ['result_metadata', 'dict text'],
  ['result_content', 'dict text'],
  ['result_buffers', 'bufs blob'],
  ['queue', 'text'],
  ['execute_input', 'text'],
  ['execute_result', 'text'],
  ['error', 'text'],
  ['stdout', 'text'],
  ['stderr', 'text'],
];
const COLUMNS_9: typeof COLUMNS_7 = [...COLUMNS_7, ['label', 'text']];

/** Names of the columns, by the release of ipyparallel that made the table. */
export const LAYOUTS: { readonly 7: readonly TaskKey[]; readonly 9: readonly TaskKey[] } = {
  7: COLUMNS_7.map(([name]) => name),
  9: COLUMNS_9.map(([name]) => name),
};

/** A name as SQL quotes it. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** What makes a table of 9.x. */
export function createTable(table: string): string {
  const columns = COLUMNS_9.map(([name, type]) => `${name} ${type}`);
  return `CREATE TABLE ${quoted(table)}\n(${columns.join(',\n')})`;
}

/** A date at the millisecond, as a text that sorts: `2026-11-22T14:29:40.384`, whether or not it had a fraction. */
export function millisecondOf(column: string): string {
  return `substr(replace(${column}, '+00:00', '.000'), 1, 23)`;
}

/** Which rows have a date that {@link millisecondOf} cannot read: written in another zone, or by another hand. */
export const ODD_DATES = (['submitted', 'started', 'completed', 'received'] as const)
  .map((key) => `(length(${key}) NOT IN (25, 32) OR substr(${key}, -6) <> '+00:00')`)
  .join(' OR ');

/**
 * A Task Database's table: its columns are ipyparallel's, so that its hubs can use the file; what ours knows beyond
 * them is in a table beside it.
 */
export class Layout {
  readonly table: string;
  readonly side: string;
  /** The columns of the table itself. */
  readonly columns: readonly TaskKey[];
  /** The fields that are kept in the table beside it. */
  readonly sideColumns: readonly TaskKey[];

  constructor(table: string, columns: readonly TaskKey[]) {
    this.table = quoted(table);
    this.side = quoted(sideName(table));
    this.columns = columns;
    this.sideColumns = TASK_KEYS.filter((key) => !columns.includes(key));
  }

  /** A field of the row `t`. */
  column(key: TaskKey): string {
    if (this.columns.includes(key)) return `t.${quoted(key)}`;
    return `(SELECT s.${quoted(key)} FROM ${this.side} s WHERE s.msg_id = t.msg_id)`;
  }

  /** What a field of the row `t` is compared and sorted by. */
  comparable(key: TaskKey): string {
    return TASK_COLUMNS[key] === 'date' ? millisecondOf(this.column(key)) : this.column(key);
  }

  /**
   * Selects fields of the row `t` as two values: the lengths of the cells (-1 for null) as a text, and the cells behind
   * one another as a blob. A value each would take three times as long, and the driver ends the process at a text
   * that is not UTF-8 and cuts one at its first NUL.
   */
  packed(keys: readonly TaskKey[]): string {
    const cells = keys.map((key) => this.column(key));
    const lengths = cells.map((cell) => `coalesce(octet_length(${cell}), -1)`).join(" || ',' || ");
    return `'' || ${lengths}, CAST(concat(${cells.join(', ')}) AS BLOB)`;
  }
}

export function sideName(table: string): string {
  return `ippjs-${table}`;
}
