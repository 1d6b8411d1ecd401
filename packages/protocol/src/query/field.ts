import { clip, describe } from '../common/describe.js';
import { InvalidQueryError } from '../common/errors.js';
import { didYouMean } from '../common/suggest.js';
import {
  isKeyAlias,
  isTaskKey,
  KEY_ALIASES,
  type ProjectedKey,
  TASK_COLUMNS,
  TASK_KEYS,
  type TaskKey,
} from '../tasks/task-record.js';
import type { Field } from './tree.js';

/** The maximum length of a key with its path. */
const MAX_NAME = 2_000;
const MAX_STEPS = 100;

/**
 * Validates a projection.
 * @returns the requested keys, `msg_id` first and each once
 * @throws {InvalidQueryError} when `keys` is not a key or a list of keys
 */
export function parseKeys(keys: unknown): ProjectedKey[] {
  const list: unknown = typeof keys === 'string' ? [keys] : keys;
  if (!Array.isArray(list))
    throw new InvalidQueryError(`keys must be a TaskRecord key or an array of keys, got ${describe(keys)}`);
  const names = new Set(['msg_id']);
  for (const key of list) {
    if (typeof key !== 'string')
      throw new InvalidQueryError(`every item of keys must be a string, got ${describe(key)}`);
    names.add(key);
  }
  return [...names].map((name) => ({ name, column: columnOf(name) }));
}

/**
 * Resolves a key or an older name to its column.
 * @throws {InvalidQueryError} when there is no such key
 */
export function columnOf(name: string): TaskKey {
  if (isTaskKey(name)) return name;
  if (isKeyAlias(name)) return KEY_ALIASES[name];
  throw new InvalidQueryError(`unknown TaskRecord key "${clip(name)}"${didYouMean(clip(name), TASK_KEYS)}`);
}

/**
 * Parses a key or a dotted path and replaces older names.
 * @throws {InvalidQueryError} when the key is unknown or the path is invalid
 */
export function parseField(name: string): Field {
  const [root = '', ...path] = stepsOf(name);
  const column = columnOf(root);
  if (path.length > 0) {
    if (TASK_COLUMNS[column] !== 'dict') {
      throw new InvalidQueryError(`invalid path "${name}": "${root}" is not a dict and has no fields`);
    }
    checkSteps(name, path);
  }
  return { name: [column, ...path].join('.'), column, path };
}

/**
 * Parses a path inside `$elemMatch`, which begins at an item of the list.
 * @throws {InvalidQueryError} when the path is invalid
 */
export function parseElementPath(name: string): string[] {
  const path = stepsOf(name);
  checkSteps(name, path);
  return path;
}

function stepsOf(name: string): string[] {
  if (name.length > MAX_NAME)
    throw new InvalidQueryError(
      `the key or path "${clip(name)}" must have at most ${MAX_NAME} characters, got ${name.length}`,
    );
  return name.split('.');
}

function checkSteps(name: string, path: readonly string[]): void {
  if (path.includes('')) throw new InvalidQueryError(`the path "${clip(name)}" has an empty step`);
  if (path.length > MAX_STEPS)
    throw new InvalidQueryError(
      `the path "${clip(name)}" must have at most ${MAX_STEPS} steps, got ${path.length}`,
    );
}
