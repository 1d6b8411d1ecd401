import type { TaskKey } from '@ipyparallel-js/protocol';
import type { FoundTask } from '../task-database.js';
import { decodeCell } from './cells.js';

/** A row as {@link Layout.packedCellsSql} selects it, and its rowid. */
export type PackedRow = readonly [lengths: string, cells: ArrayBuffer | Uint8Array, rowid: number];

/** Rows in the form that threads exchange: the concatenated cells of all rows. */
export interface PackedRows {
  readonly lengths: readonly string[];
  readonly cells: Uint8Array<ArrayBuffer>;
}

export function packRows(rows: readonly PackedRow[]): PackedRows {
  const parts = rows.map(([, cells]) => toUint8Array(cells));
  const cells = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    cells.set(part, at);
    at += part.byteLength;
  }
  return { lengths: rows.map(([lengths]) => lengths), cells };
}

function toUint8Array(cells: ArrayBuffer | Uint8Array): Uint8Array {
  return cells instanceof Uint8Array ? cells : new Uint8Array(cells);
}

/** Yields the cells of each row. */
export function* unpackRows({ lengths, cells }: PackedRows): Generator<(Buffer | null)[]> {
  const buffer = Buffer.from(cells.buffer, cells.byteOffset, cells.byteLength);
  let at = 0;
  for (const text of lengths) {
    yield text.split(',').map((length) => {
      const size = Number(length);
      if (size < 0) return null;
      at += size;
      return buffer.subarray(at - size, at);
    });
  }
}

/**
 * Decodes the cells of a row.
 * @throws Error when a cell has no valid value of its column
 */
export function decodeTask(keys: readonly TaskKey[], cells: readonly (Buffer | null)[]): FoundTask {
  const task: Record<string, unknown> = {};
  keys.forEach((key, i) => {
    task[key] = decodeCell(key, cells[i] ?? null);
  });
  if (typeof task['msg_id'] !== 'string') throw new Error('its msg_id is not a string');
  return task as FoundTask;
}
