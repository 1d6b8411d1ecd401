import { parseWireDate, type TaskKey } from '@ipyparallel-js/protocol';
import { TASK_COLUMNS } from '@ipyparallel-js/protocol/internal';
import type { FoundTask, StoredTask, TaskFields } from './task-database.js';
import { sizeOfTask as sizeOf, sizeOfValue } from './task-size.js';

const ALL_BUT_BUFFERS = (Object.keys(TASK_COLUMNS) as TaskKey[]).filter(
  (key) => TASK_COLUMNS[key] !== 'buffers',
);

/** One task in memory: the record, never changed in place, and what is worth knowing of it beforehand. */
export class MemoryRecord {
  /** Position in the order of arrival. */
  readonly sequence: number;
  #task: StoredTask;
  #bytes: number;
  #dates: Partial<Record<TaskKey, Date | null>> = {};

  constructor(task: StoredTask, sequence: number) {
    this.sequence = sequence;
    this.#task = ownBuffers(task);
    this.#bytes = sizeOf(this.#task);
  }

  get task(): StoredTask {
    return this.#task;
  }

  /** An estimate of the memory that the record takes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether a result is still to come. What was only ever seen by its output is not waited for. */
  get pending(): boolean {
    return this.#task.completed === null && this.#task.submitted !== null;
  }

  set(fields: TaskFields): void {
    for (const key of Object.keys(fields)) this.#bytes -= sizeOfValue(this.#task[key as TaskKey]);
    this.#task = ownBuffers({ ...this.#task, ...fields });
    for (const key of Object.keys(fields)) this.#bytes += sizeOfValue(this.#task[key as TaskKey]);
    this.#dates = {};
  }

  /** A field as queries compare it: dates as Dates. */
  read(key: TaskKey): unknown {
    if (TASK_COLUMNS[key] !== 'date') return this.#task[key];
    const known = this.#dates[key];
    if (known !== undefined) return known;
    const text = this.#task[key];
    const date = typeof text === 'string' ? (parseWireDate(text)?.date ?? null) : null;
    this.#dates[key] = date;
    return date;
  }

  /** The fields asked for; all but the buffers without `keys`. */
  project(keys: readonly TaskKey[] = ALL_BUT_BUFFERS): FoundTask {
    const found: Record<string, unknown> = { msg_id: this.#task.msg_id };
    for (const key of keys) found[key] = this.#task[key];
    return found as FoundTask;
  }
}

// Buffers arrive as views of whole batches: a small result must not keep a megabyte of others' alive.
function ownBuffers(task: StoredTask): StoredTask {
  const { buffers, result_buffers } = task;
  if (!buffers?.some(isView) && !result_buffers?.some(isView)) return task;
  return { ...task, buffers: owned(buffers), result_buffers: owned(result_buffers) };
}

function isView(buffer: Uint8Array): boolean {
  return buffer.buffer.byteLength !== buffer.byteLength;
}

function owned(buffers: readonly Uint8Array[] | null): readonly Uint8Array[] | null {
  return buffers?.map((buffer) => (isView(buffer) ? Uint8Array.from(buffer) : buffer)) ?? null;
}
