import { type Dict, formatWireDate, parseWireDate, type TaskKey } from '@ipyparallel-js/protocol';
import { isDict, TASK_COLUMNS, TASK_KEYS } from '@ipyparallel-js/protocol/internal';
import type { TaskFields } from '../task-database.js';
import type { ServerTraits } from './server-traits.js';

/**
 * A task's document: the fields of a TaskRecord as ipyparallel's MongoDB backend writes them (dates as BSON dates,
 * buffers as lists of Binary), and beside them what only we know, in one field that Python's hub passes over.
 */
export type TaskDocument = Record<string, unknown>;

/** The field of a document that holds our {@link Extras}. */
export const EXTRAS = 'ipyparallel_js';

/** What a document tells besides its TaskRecord. */
export interface Extras {
  /** Dates with the digits that BSON's milliseconds lose; valid as long as the date itself says the same. */
  readonly exact?: { readonly [key: string]: string };
  /** Values too large or too odd for a document: where they are. */
  readonly outside?: { readonly [key: string]: OutsideValue };
  /** Bytes that the task takes, by estimate, values outside included. */
  readonly bytes?: number;
}

/** A value in the collection of parts. */
export interface OutsideValue {
  readonly id: string;
  readonly parts: number;
  readonly bytes: number;
}

/** How a value is to be stored: in the document, or outside as bytes. */
export type Encoded =
  | { readonly inline: unknown; readonly exact?: string; readonly bytes: number }
  | { readonly outside: readonly Uint8Array[]; readonly bytes: number };

// With these bounds no document can pass MongoDB's 16 MiB, whatever its fields hold together.
const MAX_BUFFERS = 4 << 20;
const MAX_LONG_FIELD = 512 << 10;
const MAX_SHORT_TEXT = 32 << 10;
const SHORT_TEXTS: ReadonlySet<TaskKey> = new Set(['client_uuid', 'engine_uuid', 'resubmitted', 'queue']);

/** MongoDB takes 100 levels; the document itself and some room for a server's own are taken off. */
const MAX_DEPTH = 90;

const LONE_SURROGATE = /\p{Cs}/u;

/** What a document has where the value is outside. A Python hub sees no buffers, and no content. */
export function placeholderOf(key: TaskKey): unknown {
  if (TASK_COLUMNS[key] === 'buffers') return [];
  return key === 'stdout' || key === 'stderr' ? '' : null;
}

/** Prepares one field for a server. */
export function encodeField(key: TaskKey, value: unknown, traits: ServerTraits): Encoded {
  if (value === null || value === undefined) return { inline: null, bytes: 1 };
  switch (TASK_COLUMNS[key]) {
    case 'date':
      return encodeDate(value);
    case 'buffers':
      return encodeBuffers(value as readonly Uint8Array[]);
    case 'text': {
      const text = String(value);
      const limit = SHORT_TEXTS.has(key) ? MAX_SHORT_TEXT : MAX_LONG_FIELD;
      const fits = text.length <= limit && Buffer.byteLength(text) <= limit && !LONE_SURROGATE.test(text);
      if (fits) return { inline: text, bytes: text.length };
      const outside = encodeText(text);
      return { outside: [outside], bytes: outside.byteLength };
    }
    case 'dict': {
      const size = sizeIfCarried(value, traits);
      if (size !== undefined && size <= MAX_LONG_FIELD) return { inline: value, bytes: size };
      const outside = Buffer.from(JSON.stringify(value));
      return { outside: [outside], bytes: outside.byteLength };
    }
  }
}

function encodeDate(value: unknown): Encoded {
  const parsed = typeof value === 'string' ? parseWireDate(value) : undefined;
  if (parsed === undefined) return { inline: null, bytes: 1 };
  const lost = parsed.exact !== formatWireDate(parsed.date);
  return { inline: parsed.date, ...(lost ? { exact: parsed.exact } : {}), bytes: 8 };
}

function encodeBuffers(buffers: readonly Uint8Array[]): Encoded {
  const bytes = buffers.reduce((sum, buffer) => sum + buffer.byteLength + 16, 0);
  if (bytes <= MAX_BUFFERS) return { inline: buffers, bytes };
  const lengths = new DataView(new ArrayBuffer(4 + 4 * buffers.length));
  lengths.setUint32(0, buffers.length);
  buffers.forEach((buffer, i) => {
    lengths.setUint32(4 + 4 * i, buffer.byteLength);
  });
  return { outside: [new Uint8Array(lengths.buffer), ...buffers], bytes };
}

/** Text outside a document: UTF-16, in which half a character can be kept until its other half is appended. */
export function encodeText(text: string): Uint8Array {
  return Buffer.from(text, 'utf16le');
}

/** Reads what {@link encodeField} put outside. */
export function decodeOutside(key: TaskKey, bytes: Buffer): unknown {
  switch (TASK_COLUMNS[key]) {
    case 'buffers': {
      const count = bytes.readUInt32BE(0);
      let at = 4 + 4 * count;
      return Array.from({ length: count }, (_, i) => {
        const length = bytes.readUInt32BE(4 + 4 * i);
        at += length;
        return bytes.subarray(at - length, at);
      });
    }
    case 'text':
      return bytes.toString('utf16le');
    default:
      return JSON.parse(bytes.toString('utf8'));
  }
}

/** The BSON size of a value by estimate; undefined when it cannot be carried as it is. */
function sizeIfCarried(value: unknown, traits: ServerTraits): number | undefined {
  let size = 0;
  const walk = (item: unknown, depth: number, inList: boolean): boolean => {
    size += 8;
    if (size > MAX_LONG_FIELD || depth > MAX_DEPTH) return false;
    if (typeof item === 'string') {
      size += item.length > 64 ? Buffer.byteLength(item) : item.length * 3;
      return !LONE_SURROGATE.test(item);
    }
    if (Array.isArray(item)) {
      if (inList && !traits.nestedLists) return false;
      return item.every((inner) => walk(inner, depth + 1, true));
    }
    if (item instanceof Uint8Array) {
      size += item.byteLength;
      return true;
    }
    if (typeof item !== 'object' || item === null) return typeof item !== 'bigint';
    if (!isDict(item)) return false;
    return Object.entries(item).every(([key, inner]) => {
      size += key.length * 3;
      return keyIsCarried(key, traits) && walk(inner, depth + 1, false);
    });
  };
  return walk(value, 1, false) ? size : undefined;
}

function keyIsCarried(key: string, traits: ServerTraits): boolean {
  if (key.includes('\0') || key === '_bsontype' || key === 'toBSON' || LONE_SURROGATE.test(key)) return false;
  // What begins with a dollar is a reference or an operator to some server or driver.
  if (key.startsWith('$')) return traits.anyKeys && !/^\$(id|ref|db)$/.test(key);
  return traits.anyKeys || !key.includes('.');
}

/** A stored field, as records have it: dates as texts with all digits known. Values outside must be at hand. */
export function decodeField(
  key: TaskKey,
  document: TaskDocument,
  outside?: ReadonlyMap<string, unknown>,
): unknown {
  if (outside?.has(key) === true) return outside.get(key);
  const value = document[key] ?? null;
  switch (TASK_COLUMNS[key]) {
    case 'date':
      return value instanceof Date ? exactDate(value, extrasOf(document).exact?.[key]) : null;
    case 'text':
      if (value === null) return key === 'stdout' || key === 'stderr' ? '' : null;
      return typeof value === 'string' ? value : String(value);
    case 'buffers':
      return Array.isArray(value) ? value.map(toBytes) : null;
    case 'dict':
      return isDict(value) ? (plain(value) as Dict) : null;
  }
}

/** A field as queries compare it: dates as Dates. */
export function comparedField(
  key: TaskKey,
  document: TaskDocument,
  outside?: ReadonlyMap<string, unknown>,
): unknown {
  if (TASK_COLUMNS[key] !== 'date') return decodeField(key, document, outside);
  const value = document[key];
  return value instanceof Date && !Number.isNaN(value.getTime()) ? value : null;
}

/** What a document tells besides its record. Anybody may have written it: what has not the right form is not there. */
export function extrasOf(document: TaskDocument): Extras {
  const extras = document[EXTRAS];
  if (!isDict(extras)) return {};
  const { bytes, exact, outside } = extras;
  return {
    ...(isCount(bytes) ? { bytes } : {}),
    ...(isDict(exact) ? { exact: entriesThat(isText, exact) } : {}),
    ...(isDict(outside) ? { outside: entriesThat(isOutsideValue, outside) } : {}),
  };
}

function entriesThat<T>(holds: (value: unknown) => value is T, dict: Dict): { readonly [key: string]: T } {
  const entries = Object.entries(dict).filter((entry): entry is [TaskKey, T] => {
    const [key, value] = entry;
    return Object.hasOwn(TASK_COLUMNS, key) && holds(value);
  });
  return Object.fromEntries(entries);
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function isOutsideValue(value: unknown): value is OutsideValue {
  return isDict(value) && isText(value['id']) && isCount(value['parts']) && isCount(value['bytes']);
}

// A Python hub that changes a date knows nothing of the digits beside it.
function exactDate(date: Date, exact: string | undefined): string | null {
  if (Number.isNaN(date.getTime())) return null;
  const known = exact === undefined ? undefined : parseWireDate(exact);
  return known?.date.getTime() === date.getTime() ? known.exact : formatWireDate(date);
}

function toBytes(value: unknown): Uint8Array {
  return value instanceof Uint8Array ? value : Buffer.alloc(0);
}

/** What BSON has and JSON has not, as the wire writes it: Python's hub keeps the dates of headers as dates. */
function plain(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : formatWireDate(value);
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(plain);
  if (!isDict(value)) {
    const text = String(value);
    return Number.isFinite(Number(text)) ? Number(text) : text;
  }
  let changed = false;
  const entries = Object.entries(value).map(([key, item]): [string, unknown] => {
    const made = plain(item);
    if (made !== item) changed = true;
    return [key, made];
  });
  return changed ? Object.fromEntries(entries) : value;
}

/** The bytes that changed fields keep in memory, by estimate. */
export function sizeOfFields(fields: TaskFields | { readonly [key: string]: unknown }): number {
  let bytes = 256;
  const walk = (value: unknown): void => {
    if (typeof value === 'string') bytes += value.length;
    else if (value instanceof Uint8Array) bytes += value.byteLength;
    else if (typeof value === 'object' && value !== null) {
      for (const [key, item] of Object.entries(value)) {
        bytes += key.length + 16;
        walk(item);
      }
    }
  };
  walk(fields);
  return bytes;
}

/** The columns that are sent when no keys are asked for. */
export const ALL_BUT_BUFFERS = TASK_KEYS.filter((key) => TASK_COLUMNS[key] !== 'buffers');
