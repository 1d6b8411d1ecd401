import { parseWireDate, type TaskKey } from '@ipyparallel-js/protocol';
import { TASK_COLUMNS } from '@ipyparallel-js/protocol/internal';
import type { FoundTask, StoredTask, TaskFields } from './task-database.js';
import { sizeOfTask as sizeOf, sizeOfValue } from './task-size.js';

const ALL_BUT_BUFFERS = (Object.keys(TASK_COLUMNS) as TaskKey[]).filter(
  (key) => TASK_COLUMNS[key] !== 'buffers',
);

/** A task in memory: an immutable record, its estimated size and its parsed dates. */
export class MemoryRecord {
  /** Number of the record in the order of arrival. */
  readonly sequence: number;
  #task: StoredTask;
  #bytes: number;
  #dates: Partial<Record<TaskKey, Date | null>> = {};

  constructor(task: StoredTask, sequence: number) {
    this.sequence = sequence;
    this.#task = copyBufferViews(task);
    this.#bytes = sizeOf(this.#task);
  }

  get task(): StoredTask {
    return this.#task;
  }

  /** Estimated size of the record in memory, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the task may still get a result. False for a record that was created by output alone. */
  get isPending(): boolean {
    return this.#task.completed === null && this.#task.submitted !== null;
  }

  set(fields: TaskFields): void {
    for (const key of Object.keys(fields)) this.#bytes -= sizeOfValue(this.#task[key as TaskKey]);
    this.#task = copyBufferViews({ ...this.#task, ...fields });
    for (const key of Object.keys(fields)) this.#bytes += sizeOfValue(this.#task[key as TaskKey]);
    this.#dates = {};
  }

  /** Returns a field as queries compare it: dates as `Date`s. */
  read(key: TaskKey): unknown {
    if (TASK_COLUMNS[key] !== 'date') return this.#task[key];
    const cached = this.#dates[key];
    if (cached !== undefined) return cached;
    const text = this.#task[key];
    const date = typeof text === 'string' ? (parseWireDate(text)?.date ?? null) : null;
    this.#dates[key] = date;
    return date;
  }

  /** Returns the given fields and `msg_id`; by default all fields except the two buffers. */
  project(keys: readonly TaskKey[] = ALL_BUT_BUFFERS): FoundTask {
    const found: Record<string, unknown> = { msg_id: this.#task.msg_id };
    for (const key of keys) found[key] = this.#task[key];
    return found as FoundTask;
  }
}

// Buffers arrive as views of a batch's memory. Copy them, or a small result keeps the complete batch in memory.
function copyBufferViews(task: StoredTask): StoredTask {
  const { buffers, result_buffers } = task;
  if (!buffers?.some(isView) && !result_buffers?.some(isView)) return task;
  return { ...task, buffers: copyViews(buffers), result_buffers: copyViews(result_buffers) };
}

function isView(buffer: Uint8Array): boolean {
  return buffer.buffer.byteLength !== buffer.byteLength;
}

function copyViews(buffers: readonly Uint8Array[] | null): readonly Uint8Array[] | null {
  return buffers?.map((buffer) => (isView(buffer) ? Uint8Array.from(buffer) : buffer)) ?? null;
}
