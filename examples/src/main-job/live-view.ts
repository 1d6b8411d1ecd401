import { records, untilDone } from '@ipyparallel-js/client';
import { isDone, type Projected, type TaskStatus, taskStatus } from '@ipyparallel-js/protocol';
import pc from 'picocolors';
import { lastValueFrom, tap } from 'rxjs';
import type { Participants } from './participants.js';
import { columns, cut, draw, endDrawing, isTerminal, note, width } from './terminal.js';
import type { Job } from './workload.js';

const KEYS = [
  'client_uuid',
  'engine_uuid',
  'started',
  'completed',
  'result_content',
  'execute_result',
  'stdout',
] as const;

type Row = Projected<(typeof KEYS)[number]>;

/** The minimum time between two redraws of the table, in ms. */
const REDRAW_MS = 50;
/** The time between two progress lines where lines cannot be redrawn, in ms. */
const LINE_MS = 1_000;

const MARKS: { readonly [S in TaskStatus]: (text: string) => string } = {
  unassigned: (text) => pc.dim(`· ${text}`),
  assigned: (text) => pc.yellow(`▸ ${text}`),
  completed: (text) => pc.green(`✔ ${text}`),
  failed: (text) => pc.red(`✘ ${text}`),
  aborted: (text) => pc.magenta(`✘ ${text}`),
  purged: (text) => pc.dim(`− ${text}`),
  lost: (text) => pc.red(`? ${text}`),
};

/** Shows tasks until all have ended: as a table that is redrawn, or as progress lines. */
export async function showLive(participants: Participants, jobs: readonly Job[]): Promise<void> {
  const query = { msg_id: { $in: jobs.map(({ msgId }) => msgId) } };
  const show = isTerminal ? tableRenderer(participants, jobs) : lineRenderer(jobs);
  const watch = participants.rc.dbQuery(query, KEYS).watch({ pace: REDRAW_MS });
  try {
    await lastValueFrom(watch.pipe(untilDone({ atLeast: jobs.length }), records(), tap(show)), {
      defaultValue: undefined,
    });
  } finally {
    if (isTerminal) endDrawing();
  }
}

function tableRenderer(participants: Participants, jobs: readonly Job[]): (rows: readonly Row[]) => void {
  return (rows) => draw(`${bar(rows, jobs.length)}\n\n${table(participants, jobs, rows)}`);
}

function lineRenderer(jobs: readonly Job[]): (rows: readonly Row[]) => void {
  let last = '';
  let next = 0;
  return (rows) => {
    const text = summary(rows, jobs.length);
    const all = count(rows).done === jobs.length;
    if (text === last || (performance.now() < next && !all)) return;
    last = text;
    next = performance.now() + LINE_MS;
    note(text);
  };
}

function bar(rows: readonly Row[], total: number): string {
  const size = 24;
  const filled = Math.round((count(rows).done / total) * size);
  return `  ${pc.cyan('█'.repeat(filled))}${pc.dim('░'.repeat(size - filled))}  ${summary(rows, total)}`;
}

function summary(rows: readonly Row[], total: number): string {
  const { done, failed, assigned } = count(rows);
  const waiting = total - done - assigned;
  return `${done} of ${total} done, ${failed} of them failed; ${assigned} running, ${waiting} waiting`;
}

function count(rows: readonly Row[]): { done: number; failed: number; assigned: number } {
  const statuses = rows.map(taskStatus);
  return {
    done: statuses.filter(isDone).length,
    failed: statuses.filter((status) => status === 'failed' || status === 'aborted').length,
    assigned: statuses.filter((status) => status === 'assigned').length,
  };
}

function table(participants: Participants, jobs: readonly Job[], rows: readonly Row[]): string {
  const byId = new Map(rows.map((row) => [row.msg_id, row]));
  const head = ['by', 'task', 'engine', 'status', 'seconds', 'output'];
  const lines = jobs.map(({ msgId, title }) => {
    const row = byId.get(msgId);
    // Submitted, but not yet recorded by the hub.
    if (row === undefined) return ['', title, '–', MARKS.unassigned('unassigned'), '', ''];
    const status = taskStatus(row);
    const paint = status === 'failed' ? pc.red : String;
    return [
      participants.clientName(row.client_uuid),
      title,
      participants.engineId(row.engine_uuid),
      MARKS[status](status),
      seconds(row),
      paint(cut(outputOf(row), Math.max(20, width - 60))),
    ];
  });
  return columns(head, lines);
}

function seconds({ started, completed }: Row): string {
  if (started === null || completed === null) return '';
  return ((completed.getTime() - started.getTime()) / 1000).toFixed(1);
}

/** The error, the result, or the last printed line. */
function outputOf({ result_content: content, execute_result: result, stdout }: Row): string {
  const { ename, evalue } = content ?? {};
  if (typeof ename === 'string') return `${ename}: ${String(evalue)}`;
  const data = result?.data;
  if (typeof data === 'object' && data !== null && 'text/plain' in data) return String(data['text/plain']);
  return stdout?.trimEnd().split('\n').at(-1) ?? '';
}
