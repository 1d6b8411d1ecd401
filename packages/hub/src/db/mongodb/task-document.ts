import { type Dict, formatWireDate, parseWireDate, type TaskKey } from '@ipyparallel-js/protocol';
import { isDict, TASK_COLUMNS, TASK_KEYS } from '@ipyparallel-js/protocol/internal';
import type { TaskFields } from '../task-database.js';
import type { ServerTraits } from './server-traits.js';

/**
 * The document of a task: the fields of a TaskRecord as ipyparallel's MongoDB backend writes them (dates as BSON dates,
 * buffers as lists of Binary), and one field with our {@link Extras}, which a Python hub ignores.
 */
export type TaskDocument = Record<string, unknown>;

/** Name of the field with our {@link Extras}. */
export const EXTRAS = 'ipyparallel_js';

/** Our data in a document besides the TaskRecord. The key names are stored and must not change. */
export interface Extras {
  /** Dates to the microsecond, which BSON cannot store. Valid only if the date field has the same millisecond. */
  readonly exact?: { readonly [key: string]: string };
  /** References to external values: those that a document cannot contain. */
  readonly outside?: { readonly [key: string]: ExternalValue };
  /** Estimated size of the task in bytes, external values included. */
  readonly bytes?: number;
}

/** A reference to a value in the collection of parts. */
export interface ExternalValue {
  readonly id: string;
  readonly parts: number;
  readonly bytes: number;
}

/** An encoded field: a value in the document, or the bytes of an external value. */
export type EncodedField =
  | { readonly inlineValue: unknown; readonly exact?: string; readonly bytes: number }
  | { readonly externalBytes: readonly Uint8Array[]; readonly bytes: number };

// With these limits the fields of a document together never exceed MongoDB's 16 MiB.
const MAX_BUFFERS = 4 << 20;
const MAX_LONG_FIELD = 512 << 10;
const MAX_SHORT_TEXT = 32 << 10;
const SHORT_TEXTS: ReadonlySet<TaskKey> = new Set(['client_uuid', 'engine_uuid', 'resubmitted', 'queue']);

/** MongoDB's limit is 100 levels. The difference is for the document itself and for levels that a server adds. */
const MAX_DEPTH = 90;

const LONE_SURROGATE = /\p{Cs}/u;

/** Returns the placeholder for an external value. A Python hub reads such a field as empty. */
export function placeholderOf(key: TaskKey): unknown {
  if (TASK_COLUMNS[key] === 'buffers') return [];
  return key === 'stdout' || key === 'stderr' ? '' : null;
}

/** Encodes a field for a server. */
export function encodeField(key: TaskKey, value: unknown, traits: ServerTraits): EncodedField {
  if (value === null || value === undefined) return { inlineValue: null, bytes: 1 };
  switch (TASK_COLUMNS[key]) {
    case 'date':
      return encodeDate(value);
    case 'buffers':
      return encodeBuffers(value as readonly Uint8Array[]);
    case 'text': {
      const text = String(value);
      const limit = SHORT_TEXTS.has(key) ? MAX_SHORT_TEXT : MAX_LONG_FIELD;
      const fits = text.length <= limit && Buffer.byteLength(text) <= limit && !LONE_SURROGATE.test(text);
      if (fits) return { inlineValue: text, bytes: text.length };
      const externalBytes = encodeText(text);
      return { externalBytes: [externalBytes], bytes: externalBytes.byteLength };
    }
    case 'dict': {
      const size = estimateBsonSize(value, traits);
      if (size !== undefined && size <= MAX_LONG_FIELD) return { inlineValue: value, bytes: size };
      const externalBytes = Buffer.from(JSON.stringify(value));
      return { externalBytes: [externalBytes], bytes: externalBytes.byteLength };
    }
  }
}

function encodeDate(value: unknown): EncodedField {
  const parsed = typeof value === 'string' ? parseWireDate(value) : undefined;
  if (parsed === undefined) return { inlineValue: null, bytes: 1 };
  const losesDigits = parsed.exact !== formatWireDate(parsed.date);
  return { inlineValue: parsed.date, ...(losesDigits ? { exact: parsed.exact } : {}), bytes: 8 };
}

function encodeBuffers(buffers: readonly Uint8Array[]): EncodedField {
  const bytes = buffers.reduce((sum, buffer) => sum + buffer.byteLength + 16, 0);
  if (bytes <= MAX_BUFFERS) return { inlineValue: buffers, bytes };
  const lengths = new DataView(new ArrayBuffer(4 + 4 * buffers.length));
  lengths.setUint32(0, buffers.length);
  buffers.forEach((buffer, i) => {
    lengths.setUint32(4 + 4 * i, buffer.byteLength);
  });
  return { externalBytes: [new Uint8Array(lengths.buffer), ...buffers], bytes };
}

/** Encodes an external text. UTF-16 can store a lone surrogate until its other half is appended. */
export function encodeText(text: string): Uint8Array {
  return Buffer.from(text, 'utf16le');
}

/** Decodes the external value of a field. */
export function decodeExternal(key: TaskKey, bytes: Buffer): unknown {
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

/** Estimates the BSON size of a value; returns undefined if a document cannot contain it. */
function estimateBsonSize(value: unknown, traits: ServerTraits): number | undefined {
  let size = 0;
  const walk = (item: unknown, depth: number, inList: boolean): boolean => {
    size += 8;
    if (size > MAX_LONG_FIELD || depth > MAX_DEPTH) return false;
    if (typeof item === 'string') {
      size += item.length > 64 ? Buffer.byteLength(item) : item.length * 3;
      return !LONE_SURROGATE.test(item);
    }
    if (Array.isArray(item)) {
      if (inList && !traits.supportsNestedLists) return false;
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
      return isEncodableKey(key, traits) && walk(inner, depth + 1, false);
    });
  };
  return walk(value, 1, false) ? size : undefined;
}

function isEncodableKey(key: string, traits: ServerTraits): boolean {
  if (key.includes('\0') || key === '_bsontype' || key === 'toBSON' || LONE_SURROGATE.test(key)) return false;
  // Servers and drivers interpret some keys that begin with a dollar as references or operators.
  if (key.startsWith('$')) return traits.supportsAnyKey && !/^\$(id|ref|db)$/.test(key);
  return traits.supportsAnyKey || !key.includes('.');
}

/** Decodes a stored field: dates become texts with all stored digits. `external` must contain its external value. */
export function decodeField(
  key: TaskKey,
  document: TaskDocument,
  external?: ReadonlyMap<string, unknown>,
): unknown {
  if (external?.has(key) === true) return external.get(key);
  const value = document[key] ?? null;
  switch (TASK_COLUMNS[key]) {
    case 'date':
      return value instanceof Date ? formatExactDate(value, extrasOf(document).exact?.[key]) : null;
    case 'text':
      if (value === null) return key === 'stdout' || key === 'stderr' ? '' : null;
      return typeof value === 'string' ? value : String(value);
    case 'buffers':
      return Array.isArray(value) ? value.map(toBytes) : null;
    case 'dict':
      return isDict(value) ? (toWireValue(value) as Dict) : null;
  }
}

/** Decodes a stored field as queries compare it: dates as `Date`s. */
export function decodeComparable(
  key: TaskKey,
  document: TaskDocument,
  external?: ReadonlyMap<string, unknown>,
): unknown {
  if (TASK_COLUMNS[key] !== 'date') return decodeField(key, document, external);
  const value = document[key];
  return value instanceof Date && !Number.isNaN(value.getTime()) ? value : null;
}

/** Returns the valid entries of our data in a document, which any other program may have changed. */
export function extrasOf(document: TaskDocument): Extras {
  const extras = document[EXTRAS];
  if (!isDict(extras)) return {};
  const { bytes, exact, outside } = extras;
  return {
    ...(isCount(bytes) ? { bytes } : {}),
    ...(isDict(exact) ? { exact: filterEntries(isText, exact) } : {}),
    ...(isDict(outside) ? { outside: filterEntries(isExternalValue, outside) } : {}),
  };
}

function filterEntries<T>(
  isValid: (value: unknown) => value is T,
  dict: Dict,
): { readonly [key: string]: T } {
  const entries = Object.entries(dict).filter((entry): entry is [TaskKey, T] => {
    const [key, value] = entry;
    return Object.hasOwn(TASK_COLUMNS, key) && isValid(value);
  });
  return Object.fromEntries(entries);
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function isExternalValue(value: unknown): value is ExternalValue {
  return isDict(value) && isText(value['id']) && isCount(value['parts']) && isCount(value['bytes']);
}

// A Python hub that changes a date does not update the stored microseconds, so they must match the date.
function formatExactDate(date: Date, exact: string | undefined): string | null {
  if (Number.isNaN(date.getTime())) return null;
  const parsed = exact === undefined ? undefined : parseWireDate(exact);
  return parsed?.date.getTime() === date.getTime() ? parsed.exact : formatWireDate(date);
}

function toBytes(value: unknown): Uint8Array {
  return value instanceof Uint8Array ? value : Buffer.alloc(0);
}

/** Converts BSON values without JSON form to wire format, such as dates in headers, which a Python hub stores as dates. */
function toWireValue(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : formatWireDate(value);
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(toWireValue);
  if (!isDict(value)) {
    const text = String(value);
    return Number.isFinite(Number(text)) ? Number(text) : text;
  }
  let changed = false;
  const entries = Object.entries(value).map(([key, item]): [string, unknown] => {
    const converted = toWireValue(item);
    if (converted !== item) changed = true;
    return [key, converted];
  });
  return changed ? Object.fromEntries(entries) : value;
}

/** Estimates the bytes that changed fields take in memory. */
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

/** The columns of a request without keys. */
export const ALL_BUT_BUFFERS = TASK_KEYS.filter((key) => TASK_COLUMNS[key] !== 'buffers');
