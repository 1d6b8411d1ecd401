import type { StoredTask } from './task-database.js';

const RECORD_OVERHEAD = 512;

/** Estimates the bytes that a task, or a part of its fields, takes in memory and in a message. */
export function sizeOfTask(task: Partial<StoredTask>): number {
  let bytes = RECORD_OVERHEAD;
  for (const value of Object.values(task)) bytes += sizeOfValue(value);
  return bytes;
}

/** Estimates the bytes that a value takes in memory and in a message. */
export function sizeOfValue(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 8;
  if (value instanceof Uint8Array) return value.byteLength;
  let bytes = 16;
  for (const [key, item] of Object.entries(value)) bytes += key.length + sizeOfValue(item);
  return bytes;
}
