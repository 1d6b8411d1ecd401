import { InvalidQueryError, type TaskRecord } from '@ipyparallel-js/protocol';
import pc from 'picocolors';
import { code, columns, cut, note, shortId, width } from './terminal.js';

/** Prints the source of a query, then runs it, so that the printed code is the code that ran. */
export async function showAndRun<R>(query: () => PromiseLike<R>): Promise<R> {
  code(sourceOf(query));
  return await query();
}

/** Prints a query that the client refuses before it sends anything, and the error. */
export function showRefusal(query: () => unknown): void {
  code(sourceOf(query));
  try {
    query();
  } catch (error) {
    if (!(error instanceof InvalidQueryError)) throw error;
    note(pc.red(`  ${error.name}: ${error.message}`));
    return;
  }
  throw new Error('the client did not refuse this query');
}

/** A column of the printed table: its name and a function that formats a record. */
export type Column<R> = readonly [name: string, show: (record: R) => string];

const ROWS_SHOWN = 6;

/** Prints the first records and the number of records. */
export function showRecords<R>(records: readonly R[], shown: readonly Column<R>[]): void {
  note(`  ${records.length === 1 ? '1 record' : `${records.length} records`}`);
  if (records.length === 0) return;
  const head = shown.map(([name]) => name);
  const rows = records.slice(0, ROWS_SHOWN).map((record) => shown.map(([, show]) => show(record)));
  const table = columns(head, rows).split('\n');
  for (const line of table) note(line);
  if (records.length > ROWS_SHOWN) note(pc.dim(`  … and ${records.length - ROWS_SHOWN} more`));
}

export const id: Column<Pick<TaskRecord, 'msg_id'>> = ['msg_id', ({ msg_id }) => shortId(msg_id)];

export const started: Column<Pick<TaskRecord, 'started'>> = [
  'started',
  (record) => record.started?.toISOString().slice(0, 23).replace('T', ' ') ?? 'null',
];

/** Formats a string, or another value as JSON, and cuts it to the width of a column. */
export function text(value: unknown): string {
  return cut(typeof value === 'string' ? value : JSON.stringify(value), width - 50);
}

/** Returns the expression of `() => expression` on one line. */
function sourceOf(query: () => unknown): string {
  return query
    .toString()
    .replace(/^\(\) => /, '')
    .replace(/\s*\n\s*/g, ' ')
    .replace(/([[(]) /g, '$1')
    .replace(/,? ([\])])/g, '$1');
}
