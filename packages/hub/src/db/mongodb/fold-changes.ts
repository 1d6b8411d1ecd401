import { emptyTask, type StoredTask, type TaskChange } from '../task-database.js';

/** What is known of a task before a batch of changes. */
export interface KnownTask {
  /** Text that is in the document; undefined where it is outside. */
  readonly stdout: string | undefined;
  readonly stderr: string | undefined;
}

type Fields = { -readonly [K in keyof StoredTask]?: StoredTask[K] };
type OutputName = 'stdout' | 'stderr';

/** What a batch of changes makes of one task. */
export interface FoldedTask {
  readonly msgId: string;
  /** Whether the task is new to the database. */
  readonly isNew: boolean;
  /** New values. Of a new task: all of them. */
  readonly fields: Fields;
  /** Text to append to output that is outside the document. */
  readonly appended: { [K in OutputName]?: string };
}

/** No text in JavaScript can be longer than half a gigabyte; output beyond this is dropped. */
const MAX_OUTPUT = 1 << 28;

/**
 * Makes of a batch of changes one write for each task, with final values: such a write can be repeated without harm
 * when nobody knows whether it was done.
 */
export function foldChanges(
  changes: readonly TaskChange[],
  known: ReadonlyMap<string, KnownTask>,
): FoldedTask[] {
  const folded = new Map<string, FoldedTask>();
  for (const change of changes) {
    if (change.op === 'add') fold(folded, known, change.task.msg_id, change.task);
    else foldUpdate(folded, known, change);
  }
  return [...folded.values()];
}

function fold(
  folded: Map<string, FoldedTask>,
  known: ReadonlyMap<string, KnownTask>,
  msgId: string,
  task: StoredTask,
): void {
  const earlier = folded.get(msgId);
  if (earlier === undefined && !known.has(msgId)) {
    folded.set(msgId, { msgId, isNew: true, fields: { ...task }, appended: {} });
    return;
  }
  // Output made a record of it before: what only that has is kept.
  const fresh = Object.entries(task).filter(([, value]) => value !== null && value !== '');
  const entry = earlier ?? { msgId, isNew: false, fields: {}, appended: {} };
  Object.assign(entry.fields, Object.fromEntries(fresh));
  folded.set(msgId, entry);
}

function foldUpdate(
  folded: Map<string, FoldedTask>,
  known: ReadonlyMap<string, KnownTask>,
  { msgId, set, append, orAdd }: Extract<TaskChange, { op: 'update' }>,
): void {
  let entry = folded.get(msgId);
  const before = known.get(msgId);
  if (entry === undefined) {
    if (before !== undefined) entry = { msgId, isNew: false, fields: {}, appended: {} };
    else if (orAdd === true) entry = { msgId, isNew: true, fields: { ...emptyTask(msgId) }, appended: {} };
    else return;
    folded.set(msgId, entry);
  }
  Object.assign(entry.fields, set);
  for (const name of ['stdout', 'stderr'] as const) {
    const text = append?.[name];
    if (set?.[name] !== undefined) delete entry.appended[name];
    if (text === undefined || text === '') continue;
    const whole = entry.fields[name] ?? before?.[name];
    if (whole === undefined && !entry.isNew) entry.appended[name] = (entry.appended[name] ?? '') + text;
    else entry.fields[name] = ((whole ?? '') + text).slice(0, MAX_OUTPUT);
  }
}
