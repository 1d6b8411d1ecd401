import type { TaskKey } from '@ipyparallel-js/protocol';
import { TASK_COLUMNS, TASK_KEYS } from '@ipyparallel-js/protocol/internal';

// The columns of ipyparallel's SQLiteDB in its order and with its type texts, because it compares both with its own.
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

/** Column names, by the release of ipyparallel that created the table. */
export const LAYOUTS: { readonly 7: readonly TaskKey[]; readonly 9: readonly TaskKey[] } = {
  7: COLUMNS_7.map(([name]) => name),
  9: COLUMNS_9.map(([name]) => name),
};

/** Quotes a name for SQL. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Returns the statement that creates a table as ipyparallel 9 does. */
export function createTableSql(table: string): string {
  const columns = COLUMNS_9.map(([name, type]) => `${name} ${type}`);
  return `CREATE TABLE ${quoteName(table)}\n(${columns.join(',\n')})`;
}

/** Returns SQL for a date as a sortable text in milliseconds, `2026-11-22T14:29:40.384`, with or without a stored fraction. */
export function millisecondSql(column: string): string {
  return `substr(replace(${column}, '+00:00', '.000'), 1, 23)`;
}

/** SQL condition: a date of the row has a form that {@link millisecondSql} cannot read, such as another time zone. */
export const NONSTANDARD_DATES = (['submitted', 'started', 'completed', 'received'] as const)
  .map((key) => `(length(${key}) NOT IN (25, 32) OR substr(${key}, -6) <> '+00:00')`)
  .join(' OR ');

/**
 * The table of a Task Database. Its columns are those of ipyparallel, so that Python hubs can use the file. The fields that
 * this table does not have are in a side table.
 */
export class Layout {
  readonly table: string;
  /** Quoted name of the side table. */
  readonly sideTable: string;
  /** Columns of the main table. */
  readonly columns: readonly TaskKey[];
  /** Columns of the side table. */
  readonly sideColumns: readonly TaskKey[];

  constructor(table: string, columns: readonly TaskKey[]) {
    this.table = quoteName(table);
    this.sideTable = quoteName(sideTableName(table));
    this.columns = columns;
    this.sideColumns = TASK_KEYS.filter((key) => !columns.includes(key));
  }

  /** Returns SQL for the cell of a field of the row `t`. */
  cellSql(key: TaskKey): string {
    if (this.columns.includes(key)) return `t.${quoteName(key)}`;
    return `(SELECT s.${quoteName(key)} FROM ${this.sideTable} s WHERE s.msg_id = t.msg_id)`;
  }

  /** Returns SQL for the value by which a field of the row `t` is compared and sorted. */
  sortKeySql(key: TaskKey): string {
    return TASK_COLUMNS[key] === 'date' ? millisecondSql(this.cellSql(key)) : this.cellSql(key);
  }

  /**
   * Returns SQL that selects fields of the row `t` as two values: the lengths of the cells (-1 for NULL) as a text, and the
   * concatenated cells as a blob. Selecting each cell takes three times as long. Also, the driver ends the process at a
   * text that is not UTF-8, and truncates a text at its first NUL.
   */
  packedCellsSql(keys: readonly TaskKey[]): string {
    const cells = keys.map((key) => this.cellSql(key));
    const lengths = cells.map((cell) => `coalesce(octet_length(${cell}), -1)`).join(" || ',' || ");
    return `'' || ${lengths}, CAST(concat(${cells.join(', ')}) AS BLOB)`;
  }
}

/** Returns the name of the side table of a table. */
function sideTableName(table: string): string {
  return `ippjs-${table}`;
}
