import { UsageError } from '@ipyparallel-js/protocol';
import { type LogLevel, parseLogLevel } from '@ipyparallel-js/wire';
import { withoutPassword } from '../db/mongodb/mongo-options.js';
import { TASK_SCHEMES, type TaskScheme } from '../traffic/tasks/schemes.js';

/** Parses the value of an argument. `previous` is the value of an earlier occurrence. */
export type Parse<T> = (value: string, option: string, previous: T | undefined) => T;

export const parseText: Parse<string> = (value) => value;
export const parseFlag: Parse<boolean> = () => true;
export const constantOf =
  <const T>(value: T) =>
  (): T =>
    value;

export function parseNumber(value: string, option: string): number {
  const parsed = Number(value);
  if (value.trim() === '' || !Number.isFinite(parsed))
    throw new UsageError(`--${option} must be a number, got "${value}"`);
  return parsed;
}

export const parseSeconds: Parse<number> = (value, option) => parseNumber(value, option) * 1000;

/** Ports as `10101`, `10101,10105` or `10101-10120`. */
export function parsePorts(value: string, option: string): number[] {
  return value.split(',').flatMap((part) => {
    const [from, to = from] = part.split('-').map((end) => parseNumber(end, option));
    if (from === undefined || to === undefined || to - from > 65_535)
      throw new UsageError(`--${option} must be ports such as 10101,10105 or 10101-10120, got "${part}"`);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}

export function parseLogLevelName(value: string, option: string): LogLevel {
  const level = parseLogLevel(value);
  if (level === undefined)
    throw new UsageError(
      `--${option} must be error, warn, info, debug or a number, got ${JSON.stringify(value)}`,
    );
  return level;
}

export function parseScheme(value: string, option: string): TaskScheme {
  const found = TASK_SCHEMES.find((name) => name === value);
  if (found === undefined)
    throw new UsageError(`--${option} must be one of ${TASK_SCHEMES.join(', ')}, got "${value}"`);
  return found;
}

export function parsePacker(value: string, option: string): 'json' | 'msgpack' {
  if (/^(or)?json$/.test(value)) return 'json';
  if (/^msgpack(\.(un)?packb)?$/.test(value)) return 'msgpack';
  throw new UsageError(`--${option} must be json or msgpack, got "${value}"`);
}

export function parseSynchronous(value: string, option: string): 'normal' | 'full' {
  if (value === 'normal' || value === 'full') return value;
  throw new UsageError(`--${option} must be normal or full, got "${value}"`);
}

/** Parses the arguments of pymongo's MongoClient: a URI or a host, and a port, alone or as a Python list. */
export function parseMongoUri(value: string, option: string): string {
  const list = /^\s*\[(.*)\]\s*$/s.exec(value)?.[1];
  // A URI may contain commas; in a list it is quoted.
  const items = list?.match(/'[^']*'|"[^"]*"|[^\s,]+/g) ?? [value];
  const [host = '', port = ''] = items.map((item) => item.replace(/^(['"])(.*)\1$/s, '$2'));
  if (/^mongodb(\+srv)?:\/\//.test(host)) return host;
  if (!/^[^\s/@]*$/.test(host) || !/^\d*$/.test(port))
    throw new UsageError(`--${option} must be a URI, or a host and a port, got "${withoutPassword(value)}"`);
  return `mongodb://${host || '127.0.0.1'}${port === '' ? '' : `:${port}`}`;
}
