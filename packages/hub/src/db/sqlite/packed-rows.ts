import type { TaskKey } from '@ipyparallel-js/protocol';
import type { FoundTask } from '../task-database.js';
import { decodeCell } from './cells.js';

/** A row as {@link Layout.packed} selects it, and its rowid. */
export type PackedRow = readonly [lengths: string, cells: ArrayBuffer | Uint8Array, rowid: number];

/** Rows as they go from one thread to another: the cells of all behind one another. */
export interface PackedRows {
  readonly lengths: readonly string[];
  readonly cells: Uint8Array<ArrayBuffer>;
}

export function packRows(rows: readonly PackedRow[]): PackedRows {
  const parts = rows.map(([, cells]) => bytesOf(cells));
  const cells = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    cells.set(part, at);
    at += part.byteLength;
  }
  return { lengths: rows.map(([lengths]) => lengths), cells };
}

function bytesOf(cells: ArrayBuffer | Uint8Array): Uint8Array {
  return cells instanceof Uint8Array ? cells : new Uint8Array(cells);
}

/** The cells of each row. */
export function* cellsOf({ lengths, cells }: PackedRows): Generator<(Buffer | null)[]> {
  const whole = Buffer.from(cells.buffer, cells.byteOffset, cells.byteLength);
  let at = 0;
  for (const text of lengths) {
    yield text.split(',').map((length) => {
      const size = Number(length);
      if (size < 0) return null;
      at += size;
      return whole.subarray(at - size, at);
    });
  }
}

/** A row's fields. @throws when a cell cannot be what it should be */
export function taskOf(keys: readonly TaskKey[], cells: readonly (Buffer | null)[]): FoundTask {
  const task: Record<string, unknown> = {};
  keys.forEach((key, i) => {
    task[key] = decodeCell(key, cells[i] ?? null);
  });
  if (typeof task['msg_id'] !== 'string') throw new Error('it has no msg_id');
  return task as FoundTask;
}
