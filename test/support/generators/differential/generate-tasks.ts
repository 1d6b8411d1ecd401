// Generates random records in stored form: realistic tasks and values that are hard to compare.
import { emptyTask, type StoredTask } from '@ipyparallel-js/hub/internal';
import type { Dict } from '@ipyparallel-js/protocol';
import type { Random } from '../operator-queries.js';

/** Texts that errors in case, order, patterns, quoting or types would confuse. */
const TEXTS = [
  'a',
  'A',
  'ab',
  'aB',
  'abc',
  'abc\n',
  'b.c',
  'b+c*',
  '(x|y)',
  '[a-z]',
  '^start$',
  'a\\d',
  '{2}',
  '?',
  '*',
  '100%',
  'under_score',
  '12',
  '12.0',
  '012',
  ' 12',
  '9',
  '10',
  '1e3',
  '-1',
  'NaN',
  'null',
  'true',
  'é',
  'e\u0301',
  'É',
  'ß',
  'SS',
  'ſ',
  'K',
  'ı',
  'İ',
  'Σ',
  'ς',
  '😀',
  '😀😁',
  '\uffee',
  '日本語',
  '٣',
  "it's",
  '"quoted"',
  "'; DROP TABLE x; --",
  '$eq',
  '$a.b',
  'line one\nline two',
  'tab\there',
  'two  blanks',
  '__proto__',
  'print("hello")',
  'import time\ntime.sleep(1)',
  '6 * 7',
  '2026-01-15',
  '2026-01-15T10:00',
] as const;

const NUMBERS = [
  ...[0, 1, -1, 2, 3, 4, 5, 7, 9, 10, 12, 100, 1000],
  ...[0.1, 0.5, 1.5, -2.5, 12.5, 1e-7, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), 2 ** 53 - 1, 1e21, 1.5e300],
] as const;

/** Keys in dicts. There are few, so that paths often match. */
export const INNER_KEYS = ['a', 'b', 'status', 'n', '0', '1', 'it’s', 'a b', '__proto__', '日'] as const;

const SESSIONS = ['5e55', '5E55', 'session-é', '12', "o'hara", '100%_'];
const ENGINES = ['', 'engine-0', 'engine-1', 'Engine-1', '😀-engine'];

/** All dates are near this one. */
export const BASE = Date.UTC(2026, 0, 15, 10, 0, 0, 500);

/** Distances from {@link BASE} in microseconds. Differences of 1 µs and 1 ms are frequent. */
const STEPS = [
  ...[0, 1, 2, 499, 999, 1_000, 1_001, 1_999, 2_000, -1, -999, -1_000, -1_001],
  ...[500_000, 499_999, 1_000_000, 60_000_000, 3_600_000_000, -86_400_000_000],
];

/** Formats a date as Python does: without a fraction if it is 0. */
function dateText(micros: number): string {
  const ms = BASE + Math.floor(micros / 1_000);
  const rest = ((micros % 1_000) + 1_000) % 1_000;
  const seconds = new Date(ms).toISOString().slice(0, 19);
  const fraction = (((ms % 1_000) + 1_000) % 1_000) * 1_000 + rest;
  return fraction === 0 ? `${seconds}Z` : `${seconds}.${String(fraction).padStart(6, '0')}Z`;
}

export function randomText(random: Random): string {
  const text = random.pick(TEXTS);
  if (random.next() < 0.15) return text + random.pick(TEXTS);
  return text;
}

export function randomScalar(random: Random): unknown {
  const roll = random.next();
  if (roll < 0.4) return random.pick(NUMBERS);
  if (roll < 0.75) return randomText(random);
  if (roll < 0.88) return random.next() < 0.5;
  return null;
}

/** Returns a random JSON value, possibly a list or dict. */
export function randomValue(random: Random, depth: number): unknown {
  const roll = random.next();
  if (depth <= 0 || roll < 0.5) return randomScalar(random);
  if (roll < 0.75) {
    const length = random.pick([0, 0, 1, 1, 2, 2, 3, 4]);
    // Real data has lists of one type; mixed lists reveal errors.
    if (random.next() < 0.4) return Array.from({ length }, () => random.pick(NUMBERS));
    return Array.from({ length }, () => randomValue(random, depth - 1));
  }
  return randomDict(random, depth - 1);
}

export function randomDict(random: Random, depth: number): Dict {
  const entries = Array.from({ length: random.pick([0, 1, 1, 2, 3]) }, () => {
    const key: string = random.pick(INNER_KEYS);
    return [key, randomValue(random, depth)] as const;
  });
  return Object.fromEntries(entries);
}

/** Generates records in the order of arrival, which differs from the order of submission. */
export function generateTasks(random: Random, count: number): StoredTask[] {
  const ids = Array.from({ length: count }, (_, i) => `${random.pick(SESSIONS)}_${i}`);
  return ids.map((id) => generateTask(random, id, ids));
}

function generateTask(random: Random, id: string, ids: readonly string[]): StoredTask {
  const maybe = <T>(chance: number, value: () => T): T | null => (random.next() < chance ? value() : null);
  const date = () => dateText(random.pick(STEPS) + random.pick([0, 0, 0, 1, 1_000, 1_000_000]));
  const text = () => randomText(random);
  const dict = () => randomDict(random, 3);
  const buffers = () =>
    Array.from({ length: 1 + random.below(2) }, () => Uint8Array.from([random.below(256), 0, 255]));
  // A record of output whose request never arrived.
  if (random.next() < 0.05) return { ...emptyTask(id), stdout: text(), stderr: random.pick(['', text()]) };
  const submitted = maybe(0.93, date);
  return {
    msg_id: id,
    header: {
      msg_id: id,
      msg_type: random.pick(['execute_request', 'apply_request']),
      session: id.slice(0, id.lastIndexOf('_')),
      username: random.pick(['username', text()]),
      ...(submitted === null ? {} : { date: submitted }),
      ...dict(),
    },
    metadata: maybe(0.9, dict),
    content: maybe(0.95, () => ({ code: text(), silent: random.next() < 0.5, ...dict() })),
    buffers: maybe(0.5, buffers),
    submitted,
    client_uuid: maybe(0.9, () => random.pick(SESSIONS)),
    engine_uuid: maybe(0.7, () => random.pick(ENGINES)),
    started: maybe(0.6, date),
    completed: maybe(0.6, date),
    resubmitted: maybe(0.1, () => random.pick(ids)),
    received: maybe(0.6, date),
    result_header: maybe(0.6, dict),
    result_metadata: maybe(0.6, dict),
    result_content: maybe(0.7, () => ({ status: random.pick(['ok', 'error', 'aborted']), ...dict() })),
    result_buffers: maybe(0.4, buffers),
    queue: maybe(0.9, () => random.pick(['mux', 'task'])),
    execute_input: maybe(0.6, text),
    execute_result: maybe(0.4, dict),
    error: maybe(0.3, () => ({ ename: text(), evalue: text(), traceback: [text(), text()], ...dict() })),
    stdout: random.pick(['', text()]),
    stderr: random.pick(['', '', text()]),
    label: maybe(0.4, text),
    display_data: maybe(0.2, dict),
  };
}
