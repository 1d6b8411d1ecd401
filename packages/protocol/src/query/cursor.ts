import { describe } from '../common/describe.js';
import { InvalidQueryError } from '../common/errors.js';
import { TASK_COLUMNS } from '../tasks/task-record.js';
import { type Sort, type SortKeys, toWireSort } from './sort.js';

/** The maximum length of a cursor, in characters. A sort by longer values cannot be paged with cursors. */
const MAX_LENGTH = 1 << 20;
const MAX_DEPTH = 200;

/**
 * Encodes the position of a record in a sort, as a string for `after`: base64url of the sort and the record's sort keys.
 * The position stays valid while records are added and removed, because it does not count records.
 */
export function encodeCursor(sort: Sort, keys: SortKeys): string {
  const text = JSON.stringify([signature(sort), keys.map(encodeValue)]);
  return Buffer.from(text, 'utf8').toString('base64url');
}

/**
 * Decodes a cursor.
 * @throws {InvalidQueryError} when the cursor is damaged or belongs to another sort
 */
export function decodeCursor(sort: Sort, cursor: unknown): SortKeys {
  if (typeof cursor !== 'string')
    throw new InvalidQueryError(`the cursor (\`after\`) must be a string, got ${describe(cursor)}`);
  if (cursor.length > MAX_LENGTH)
    throw new InvalidQueryError(
      `the cursor (\`after\`) must have at most ${MAX_LENGTH} characters, got ${cursor.length}`,
    );
  let content: unknown;
  try {
    content = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    throw brokenCursorError();
  }
  if (!Array.isArray(content) || content.length !== 2) throw brokenCursorError();
  const [sorted, keys] = content as [unknown, unknown];
  if (sorted !== signature(sort)) {
    throw new InvalidQueryError(
      'the cursor (`after`) belongs to another sort; use the sort with which it was created',
    );
  }
  if (!Array.isArray(keys) || keys.length !== sort.length) throw brokenCursorError();
  return sort.map(({ field }, i) => {
    const key = decodeValue(keys[i], 0);
    // A forged cursor must not pass a value of the wrong type to a store.
    if (field.path.length > 0 || key === null) return key;
    const isValid =
      TASK_COLUMNS[field.column] === 'date'
        ? key instanceof Date && !Number.isNaN(key.getTime())
        : typeof key === 'string';
    if (!isValid) throw brokenCursorError();
    return key;
  });
}

const brokenCursorError = (): InvalidQueryError =>
  new InvalidQueryError('the cursor (`after`) is damaged; pass the cursor of the previous page unchanged');

const signature = (sort: Sort): string => JSON.stringify(toWireSort(sort));

// JSON in which arrays, and values that JSON does not have, are arrays that begin with a one-letter tag.
function encodeValue(value: unknown): unknown {
  if (value === undefined) return ['e'];
  if (typeof value === 'bigint') return ['n', value.toString()];
  if (typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0)))
    return ['f', Object.is(value, -0) ? '-0' : String(value)];
  if (value instanceof Date) return ['d', value.getTime()];
  if (value instanceof Uint8Array) return ['b', Buffer.from(value).toString('base64')];
  if (Array.isArray(value)) return ['a', value.map(encodeValue)];
  if (typeof value === 'object' && value !== null)
    return ['o', Object.entries(value).map(([key, item]) => [key, encodeValue(item)])];
  return value;
}

function decodeValue(value: unknown, depth: number): unknown {
  if (depth > MAX_DEPTH) throw brokenCursorError();
  if (!Array.isArray(value)) {
    if (typeof value === 'object' && value !== null) throw brokenCursorError();
    return value;
  }
  const [tag, content] = value as [unknown, unknown];
  switch (tag) {
    case 'e':
      return undefined;
    case 'n':
      if (typeof content !== 'string' || !/^-?\d{1,400}$/.test(content)) throw brokenCursorError();
      return BigInt(content);
    case 'f':
      return Number(content);
    case 'd':
      return new Date(Number(content));
    case 'b':
      return Buffer.from(String(content), 'base64');
    case 'a':
      if (!Array.isArray(content)) throw brokenCursorError();
      return content.map((item: unknown) => decodeValue(item, depth + 1));
    case 'o':
      if (!Array.isArray(content)) throw brokenCursorError();
      return Object.fromEntries(
        content.map((entry: unknown) => {
          if (!Array.isArray(entry) || typeof entry[0] !== 'string') throw brokenCursorError();
          return [entry[0], decodeValue(entry[1], depth + 1)];
        }),
      );
    default:
      throw brokenCursorError();
  }
}
