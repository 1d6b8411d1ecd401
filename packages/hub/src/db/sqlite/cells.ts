import { isUtf8 } from 'node:buffer';
import { parseWireDate, type TaskKey } from '@ipyparallel-js/protocol';
import { isDict, TASK_COLUMNS } from '@ipyparallel-js/protocol/internal';
import { decodeBuffers, encodeBuffers } from './buffer-list.js';

/** A date as Python's `datetime.isoformat` writes it: no fraction when there are no microseconds. */
export function pythonDate(exact: string): string {
  const fraction = exact.slice(20, 26);
  return `${exact.slice(0, 19)}${fraction === '000000' ? '' : `.${fraction}`}+00:00`;
}

// What needs no calendar to be told from no date.
const EXACT = /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z$/;

/** A field as it is put into its cell. */
export function encodeCell(key: TaskKey, value: unknown): string | Buffer | null {
  if (value === null || value === undefined) return null;
  switch (TASK_COLUMNS[key]) {
    case 'date': {
      if (typeof value !== 'string') return null;
      if (EXACT.test(value)) return pythonDate(value);
      const exact = parseWireDate(value)?.exact;
      return exact === undefined ? null : pythonDate(exact);
    }
    case 'dict':
      return JSON.stringify(value);
    case 'buffers':
      // Python writes nothing for an empty list, and reads one where it finds nothing: it sees no difference.
      return encodeBuffers(value as readonly Uint8Array[]);
    default:
      return String(value);
  }
}

/** A cell as the field it is. @throws when it cannot be one */
export function decodeCell(key: TaskKey, cell: Buffer | null): unknown {
  if (cell === null) return null;
  switch (TASK_COLUMNS[key]) {
    case 'date':
      return dateOf(cell.toString('latin1'));
    case 'dict':
      return dictOf(textOf(cell));
    case 'buffers':
      return decodeBuffers(cell);
    default:
      return textOf(cell);
  }
}

function textOf(cell: Buffer): string {
  if (!isUtf8(cell)) throw new Error('a text is not UTF-8');
  return cell.toString('utf8');
}

// What every hub writes; the careful way takes ten times as long.
const USUAL = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}\+00:00$/;

function dateOf(text: string): string {
  if (USUAL.test(text)) return `${text.slice(0, 26)}Z`;
  const date = parseWireDate(text);
  if (date === undefined) throw new Error('a date is not ISO 8601');
  return date.exact;
}

function dictOf(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = JSON.parse(withoutNaN(text));
  }
  if (value !== null && !isDict(value)) throw new Error('a dict is none');
  return value;
}

/** Python writes numbers that JSON does not have; on the wire they are null, too. */
function withoutNaN(text: string): string {
  return text.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/gs, (part) =>
    part.startsWith('"') ? part : 'null',
  );
}
