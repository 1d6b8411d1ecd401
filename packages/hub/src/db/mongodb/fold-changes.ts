import { emptyTask, type StoredTask, type TaskChange } from '../task-database.js';

/** Output of a stored task before a batch of changes. */
export interface StoredOutput {
  /** The text in the document; undefined if it is an external value. */
  readonly stdout: string | undefined;
  readonly stderr: string | undefined;
}

type Fields = { -readonly [K in keyof StoredTask]?: StoredTask[K] };
type OutputName = 'stdout' | 'stderr';

/** The combined effect of a batch of changes on one task. */
export interface FoldedTask {
  readonly msgId: string;
  /** Whether the batch adds the task. */
  readonly isNew: boolean;
  /** Final values of the changed fields; of all fields if the task is new. */
  readonly fields: Fields;
  /** Text to append to output that is an external value. */
  readonly appended: { [K in OutputName]?: string };
}

/** Longest output that is stored, in characters; JavaScript limits strings to about 2^29. */
const MAX_OUTPUT = 1 << 28;

/**
 * Combines a batch of changes into one write per task, with final values. Such a write is idempotent, so it can be repeated
 * when an outage leaves its outcome unknown.
 */
export function foldChanges(
  changes: readonly TaskChange[],
  stored: ReadonlyMap<string, StoredOutput>,
): FoldedTask[] {
  const folded = new Map<string, FoldedTask>();
  for (const change of changes) {
    if (change.op === 'add') fold(folded, stored, change.task.msg_id, change.task);
    else foldUpdate(folded, stored, change);
  }
  return [...folded.values()];
}

function fold(
  folded: Map<string, FoldedTask>,
  stored: ReadonlyMap<string, StoredOutput>,
  msgId: string,
  task: StoredTask,
): void {
  const previous = folded.get(msgId);
  if (previous === undefined && !stored.has(msgId)) {
    folded.set(msgId, { msgId, isNew: true, fields: { ...task }, appended: {} });
    return;
  }
  // Output has already created the record: keep its values where the added task has none.
  const setFields = Object.entries(task).filter(([, value]) => value !== null && value !== '');
  const entry = previous ?? { msgId, isNew: false, fields: {}, appended: {} };
  Object.assign(entry.fields, Object.fromEntries(setFields));
  folded.set(msgId, entry);
}

function foldUpdate(
  folded: Map<string, FoldedTask>,
  stored: ReadonlyMap<string, StoredOutput>,
  { msgId, set, append, orAdd }: Extract<TaskChange, { op: 'update' }>,
): void {
  let entry = folded.get(msgId);
  const storedOutput = stored.get(msgId);
  if (entry === undefined) {
    if (storedOutput !== undefined) entry = { msgId, isNew: false, fields: {}, appended: {} };
    else if (orAdd === true) entry = { msgId, isNew: true, fields: { ...emptyTask(msgId) }, appended: {} };
    else return;
    folded.set(msgId, entry);
  }
  Object.assign(entry.fields, set);
  for (const name of ['stdout', 'stderr'] as const) {
    const text = append?.[name];
    if (set?.[name] !== undefined) delete entry.appended[name];
    if (text === undefined || text === '') continue;
    const output = entry.fields[name] ?? storedOutput?.[name];
    if (output === undefined && !entry.isNew) entry.appended[name] = (entry.appended[name] ?? '') + text;
    else entry.fields[name] = ((output ?? '') + text).slice(0, MAX_OUTPUT);
  }
}
