import type { TaskKey } from '@ipyparallel-js/protocol';
import { taskError } from '@ipyparallel-js/protocol/internal';
import type { Row } from '../hub/record-query.js';
import { appendText } from './output-store.js';
import { idsIn } from './read-output.js';
import type { Task } from './task.js';
import { neverRan, replyStatus } from './task-outcome.js';

/** The columns that {@link describeFromRecord} reads. */
export const METADATA_COLUMNS: readonly TaskKey[] = [
  'engine_uuid',
  'submitted',
  'started',
  'completed',
  'received',
  'metadata',
  'result_content',
  'execute_input',
  'execute_result',
  'error',
  'stdout',
  'stderr',
];

/** Updates a task's metadata from its record. Output that has arrived already is not added again. */
export function describeFromRecord(task: Task, row: Row): void {
  const metadata = row.metadata ?? {};
  const label = metadata['label'];
  const known = task.metadata;
  if (typeof row.engine_uuid === 'string' && row.engine_uuid !== '') task.engineUuid = row.engine_uuid;
  task.describe({
    submitted: row.submitted ?? known.submitted,
    started: row.started ?? known.started,
    completed: row.completed ?? known.completed,
    received: row.received ?? row.completed ?? known.received,
    label: typeof label === 'string' ? label : known.label,
    after: idsIn(metadata, 'after'),
    follow: idsIn(metadata, 'follow'),
    status: replyStatus(row.result_content ?? {}),
    ...(neverRan(row.result_content ?? {}) ? { begun: null } : {}),
    executeInput: row.execute_input ?? known.executeInput,
  });
  if (known.stdout === '' && row.stdout) task.emit({ type: 'stdout', text: appendText('', row.stdout) });
  if (known.stderr === '' && row.stderr) task.emit({ type: 'stderr', text: appendText('', row.stderr) });
  const { display_data: shown, execute_result: result, error } = row;
  if (known.outputs.length === 0 && shown) task.emit({ type: 'displayData', content: shown });
  if (known.executeResult === null && result) task.emit({ type: 'executeResult', content: result });
  if (known.error === null && error) {
    const place = task.engineUuid === undefined ? {} : { engineUuid: task.engineUuid };
    task.emit({ type: 'error', error: taskError(error, place) });
  }
}
