import { isUtf8 } from 'node:buffer';
import { parseWireDate, type TaskKey } from '@ipyparallel-js/protocol';
import { isDict, TASK_COLUMNS } from '@ipyparallel-js/protocol/internal';
import { decodeBuffers, encodeBuffers } from './buffer-list.js';

/** Formats a wire date as Python's `datetime.isoformat` does: without a fraction if the microseconds are 0. */
export function formatPythonDate(wireDate: string): string {
  const fraction = wireDate.slice(20, 26);
  return `${wireDate.slice(0, 19)}${fraction === '000000' ? '' : `.${fraction}`}+00:00`;
}

// Wire dates that are valid in every month, so that they need no calendar check.
const COMMON_WIRE_DATE =
  /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z$/;

/** Encodes a field as the value of its cell. */
export function encodeCell(key: TaskKey, value: unknown): string | Buffer | null {
  if (value === null || value === undefined) return null;
  switch (TASK_COLUMNS[key]) {
    case 'date': {
      if (typeof value !== 'string') return null;
      if (COMMON_WIRE_DATE.test(value)) return formatPythonDate(value);
      const wireDate = parseWireDate(value)?.exact;
      return wireDate === undefined ? null : formatPythonDate(wireDate);
    }
    case 'dict':
      return JSON.stringify(value);
    case 'buffers':
      // Python writes NULL for an empty list and reads NULL as an empty list, so it accepts an empty list here.
      return encodeBuffers(value as readonly Uint8Array[]);
    default:
      return String(value);
  }
}

/**
 * Decodes a cell as a field.
 * @throws Error when the cell has no valid value of its column
 */
export function decodeCell(key: TaskKey, cell: Buffer | null): unknown {
  if (cell === null) return null;
  switch (TASK_COLUMNS[key]) {
    case 'date':
      return decodeDate(cell.toString('latin1'));
    case 'dict':
      return decodeDict(decodeText(cell));
    case 'buffers':
      return decodeBuffers(cell);
    default:
      return decodeText(cell);
  }
}

function decodeText(cell: Buffer): string {
  if (!isUtf8(cell)) throw new Error('a text is not valid UTF-8');
  return cell.toString('utf8');
}

// The format that every hub writes. Parsing any other ISO 8601 date takes ten times as long.
const COMMON_CELL_DATE = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}\+00:00$/;

function decodeDate(text: string): string {
  if (COMMON_CELL_DATE.test(text)) return `${text.slice(0, 26)}Z`;
  const date = parseWireDate(text);
  if (date === undefined)
    throw new Error(`a date must be in ISO 8601 format, got ${JSON.stringify(text.slice(0, 40))}`);
  return date.exact;
}

function decodeDict(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = JSON.parse(replaceNaN(text));
  }
  if (value !== null && !isDict(value)) throw new Error('a dict column holds JSON that is not an object');
  return value;
}

/** Replaces NaN and infinities, which Python writes and JSON does not have, by null, as on the wire. */
function replaceNaN(text: string): string {
  return text.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/gs, (part) =>
    part.startsWith('"') ? part : 'null',
  );
}
