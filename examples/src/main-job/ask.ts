import { InvalidQueryError, type TaskRecord } from '@ipyparallel-js/protocol';
import pc from 'picocolors';
import { code, columns, cut, note, shortId, width } from './terminal.js';

/** Shows the code of a question, then runs it: what is seen is what ran. */
export async function ask<R>(question: () => PromiseLike<R>): Promise<R> {
  code(sourceOf(question));
  return await question();
}

/** Shows a question that is refused before anything is sent, and the refusal. */
export function askInVain(question: () => unknown): void {
  code(sourceOf(question));
  try {
    question();
  } catch (error) {
    if (!(error instanceof InvalidQueryError)) throw error;
    note(pc.red(`  ${error.name}: ${error.message}`));
    return;
  }
  throw new Error('this query should have been refused');
}

/** A column of an answer: its name and how to show it. */
export type Column<R> = readonly [name: string, show: (record: R) => string];

const ROWS_SHOWN = 6;

/** Shows the first records of an answer, and how many there are. */
export function answer<R>(records: readonly R[], shown: readonly Column<R>[]): void {
  note(`  ${records.length === 1 ? '1 record' : `${records.length} records`}`);
  if (records.length === 0) return;
  const head = shown.map(([name]) => name);
  const rows = records.slice(0, ROWS_SHOWN).map((record) => shown.map(([, show]) => show(record)));
  const table = columns(head, rows).split('\n');
  for (const line of table) note(line);
  if (records.length > ROWS_SHOWN) note(pc.dim(`  … and ${records.length - ROWS_SHOWN} more`));
}

/** The msg_id, shortened. */
export const id: Column<Pick<TaskRecord, 'msg_id'>> = ['msg_id', ({ msg_id }) => shortId(msg_id)];

/** When it was started, if it was. */
export const started: Column<Pick<TaskRecord, 'started'>> = [
  'started',
  (record) => record.started?.toISOString().slice(0, 23).replace('T', ' ') ?? 'null',
];

/** A text, or anything else as JSON: as much of it as there is room for. */
export function text(value: unknown): string {
  return cut(typeof value === 'string' ? value : JSON.stringify(value), width - 50);
}

/** The expression of `() => expression`, in one line. */
function sourceOf(question: () => unknown): string {
  return question
    .toString()
    .replace(/^\(\) => /, '')
    .replace(/\s*\n\s*/g, ' ')
    .replace(/([[(]) /g, '$1')
    .replace(/,? ([\])])/g, '$1');
}
