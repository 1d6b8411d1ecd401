import type { TaskChange } from '../task-database.js';

type Update = Extract<TaskChange, { op: 'update' }>;

/** One change that does what two changes of the same task do one after the other; undefined where none does. */
export function mergeChanges(earlier: TaskChange, later: TaskChange): TaskChange | undefined {
  if (later.op === 'add') return undefined;
  const set = later.set ?? {};
  if (earlier.op === 'add') {
    // Where there is a row already, an added task gives it no empty values; a later change would have.
    const isPlain = Object.values(set).every((value) => value !== null && value !== '');
    if (!isPlain || later.append !== undefined) return undefined;
    return { op: 'add', task: { ...earlier.task, ...set } };
  }
  if (later.orAdd === true && earlier.orAdd !== true) return undefined;
  if (setsOutput(earlier) || setsOutput(later)) return undefined;
  return {
    op: 'update',
    msgId: earlier.msgId,
    set: { ...earlier.set, ...set },
    append: {
      stdout: (earlier.append?.stdout ?? '') + (later.append?.stdout ?? ''),
      stderr: (earlier.append?.stderr ?? '') + (later.append?.stderr ?? ''),
    },
    orAdd: earlier.orAdd === true,
  };
}

function setsOutput({ set }: Update): boolean {
  return set?.stdout !== undefined || set?.stderr !== undefined;
}
