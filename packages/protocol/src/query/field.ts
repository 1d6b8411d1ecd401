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
import { clip, describe } from './describe.js';
import type { Field } from './tree.js';

/** Length of a key with its path: messages and queries quote it. */
const MAX_NAME = 2_000;
const MAX_STEPS = 100;

/** Validates a projection: the keys asked for, `msg_id` first, each once. @throws InvalidQueryError */
export function parseKeys(keys: unknown): ProjectedKey[] {
  const list: unknown = typeof keys === 'string' ? [keys] : keys;
  if (!Array.isArray(list))
    throw new InvalidQueryError(`keys are a key or a list of keys, not ${describe(keys)}`);
  const names = new Set(['msg_id']);
  for (const key of list) {
    if (typeof key !== 'string') throw new InvalidQueryError(`keys holds ${describe(key)}, not a key`);
    names.add(key);
  }
  return [...names].map((name) => ({ name, column: columnOf(name) }));
}

/** The column that a key or one of the older names stands for. @throws InvalidQueryError */
export function columnOf(name: string): TaskKey {
  if (isTaskKey(name)) return name;
  if (isKeyAlias(name)) return KEY_ALIASES[name];
  throw new InvalidQueryError(`unknown TaskRecord key "${clip(name)}"${didYouMean(clip(name), TASK_KEYS)}`);
}

/** A key or a dotted path, older names replaced. @throws InvalidQueryError */
export function parseField(name: string): Field {
  const [root = '', ...path] = stepsOf(name);
  const column = columnOf(root);
  if (path.length > 0) {
    if (TASK_COLUMNS[column] !== 'dict') {
      throw new InvalidQueryError(`"${name}": "${root}" is no dict, so it has no path inside`);
    }
    checkSteps(name, path);
  }
  return { name: [column, ...path].join('.'), column, path };
}

/** A path that begins at an item of a list, as `$elemMatch` has them. @throws InvalidQueryError */
export function parseElementPath(name: string): string[] {
  const path = stepsOf(name);
  checkSteps(name, path);
  return path;
}

function stepsOf(name: string): string[] {
  if (name.length > MAX_NAME)
    throw new InvalidQueryError(`"${clip(name)}" is longer than ${MAX_NAME} characters`);
  return name.split('.');
}

function checkSteps(name: string, path: readonly string[]): void {
  if (path.includes('')) throw new InvalidQueryError(`"${name}" has an empty step in its path`);
  if (path.length > MAX_STEPS)
    throw new InvalidQueryError(`the path "${clip(name)}" has more than ${MAX_STEPS} steps`);
}
