import type { TaskChange } from '../task-database.js';

type Update = Extract<TaskChange, { op: 'update' }>;

/** Merges two consecutive changes of a task into one with the same effect; returns undefined if there is none. */
export function mergeChanges(earlier: TaskChange, later: TaskChange): TaskChange | undefined {
  if (later.op === 'add') return undefined;
  const set = later.set ?? {};
  if (earlier.op === 'add') {
    // `add` does not overwrite an existing row with empty values, but an update does: such changes cannot be merged.
    const hasNoEmptyValue = Object.values(set).every((value) => value !== null && value !== '');
    if (!hasNoEmptyValue || later.append !== undefined) return undefined;
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
