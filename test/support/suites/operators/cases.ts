// Queries, each with an equivalent predicate on plain records in JavaScript.
import type { TaskQuery } from '@ipyparallel-js/protocol';
import type { PlainRecord } from './plain-record.js';
import { ALICE, BOB, FIRST_SUBMISSION, type Workload } from './workload.js';

export interface Case {
  readonly name: string;
  readonly query: (workload: Workload) => TaskQuery;
  readonly keep: (record: PlainRecord, workload: Workload) => boolean;
  /** Why the results of two hubs differ: times of the run, or columns that only some hubs have. */
  readonly differs?: 'by run' | 'by label';
}

const microsOf = (workload: Workload, id: string, key: 'submitted' | 'started' | 'completed'): number => {
  const value = workload.records.find((record) => record.msg_id === id)?.[key];
  if (value === null || value === undefined) throw new Error(`${id} has no ${key}`);
  return value;
};

const msOf = (micros: number): number => Math.floor(micros / 1_000);
const dateOf = (micros: number, plusMs = 0): Date => new Date(msOf(micros) + plusMs);

/** Compares dates as MongoDB does: to the millisecond, and never with null. */
const byMs =
  (key: 'submitted' | 'started' | 'completed' | 'received', accept: (order: number) => boolean) =>
  (record: PlainRecord, date: Date): boolean => {
    const value = record[key];
    return value !== null && accept(msOf(value) - date.getTime());
  };

const first = new Date(FIRST_SUBMISSION);
const after = (ms: number): Date => new Date(first.getTime() + ms);
const far = [
  new Date(8.64e15),
  new Date(-8.64e15),
  new Date('9999-12-31T23:59:59.999Z'),
  new Date(0),
] as const;
const anHourBefore = (date: Date): Date => new Date(date.getTime() - 3_600_000);

const plain: Case[] = [
  { name: 'everything', query: () => ({}), keep: () => true },
  { name: 'null', query: () => ({ completed: null }), keep: (r) => r.completed === null },
  { name: 'a text', query: () => ({ queue: 'task' }), keep: (r) => r.queue === 'task' },
  { name: 'the empty text', query: () => ({ stdout: '' }), keep: (r) => r.stdout === '' },
  {
    name: 'a text with a line break',
    query: () => ({ stdout: 'hello\n' }),
    keep: (r) => r.stdout === 'hello\n',
  },
  {
    name: 'two keys',
    query: () => ({ queue: 'task', completed: null }),
    keep: (r) => r.queue === 'task' && r.completed === null,
  },
  {
    name: 'two keys in the opposite order',
    query: () => ({ completed: null, queue: 'task' }),
    keep: (r) => r.queue === 'task' && r.completed === null,
  },
  {
    name: 'three keys',
    query: () => ({ queue: 'mux', client_uuid: BOB, stdout: '' }),
    keep: (r) => r.queue === 'mux' && r.client_uuid === BOB && r.stdout === '',
  },
  {
    name: 'a plain key and an operator',
    query: () => ({ client_uuid: ALICE, started: { $ne: null } }),
    keep: (r) => r.client_uuid === ALICE && r.started !== null,
  },
  {
    name: 'a date',
    query: () => ({ submitted: first }),
    keep: (r) => byMs('submitted', (o) => o === 0)(r, first),
  },
  { name: 'no engine assigned', query: () => ({ engine_uuid: null }), keep: (r) => r.engine_uuid === null },
  { name: 'resubmitted', query: () => ({ resubmitted: { $ne: null } }), keep: (r) => r.resubmitted !== null },
  {
    name: 'a key and its older name',
    query: () => ({ pyin: { $ne: null }, execute_input: '6 * 7' }),
    keep: (r) => r.execute_input === '6 * 7',
  },
];

/** The operators of the documentation's table, and three others, on a text. */
const texts: Case[] = (
  [
    ['$eq', 'task', (r) => r.queue === 'task'],
    ['$eq', null, (r) => r.queue === null],
    ['$ne', 'task', (r) => r.queue !== 'task'],
    ['$ne', null, (r) => r.queue !== null],
    ['$gt', 'mux', (r) => r.queue !== null && r.queue > 'mux'],
    ['$ge', 'mux', (r) => r.queue !== null && r.queue > 'mux'],
    ['$gte', 'mux', (r) => r.queue !== null && r.queue >= 'mux'],
    ['$lt', 'task', (r) => r.queue !== null && r.queue < 'task'],
    ['$le', 'task', (r) => r.queue !== null && r.queue < 'task'],
    ['$lte', 'task', (r) => r.queue !== null && r.queue <= 'task'],
    ['$gt', null, () => false],
    ['$ge', null, () => false],
    ['$lt', null, () => false],
    ['$le', null, () => false],
    ['$gte', null, (r) => r.queue === null],
    ['$lte', null, (r) => r.queue === null],
    ['$in', ['mux', 'broadcast'], (r) => r.queue === 'mux'],
    ['$in', ['mux', null], (r) => r.queue === 'mux' || r.queue === null],
    ['$in', [null], (r) => r.queue === null],
    ['$in', [], () => false],
    ['$nin', ['mux', 'broadcast'], (r) => r.queue !== 'mux'],
    ['$nin', ['mux', null], (r) => r.queue !== 'mux' && r.queue !== null],
    ['$nin', [null], (r) => r.queue !== null],
    ['$nin', [], () => true],
    ['$glob', 'm*', (r) => r.queue === 'mux'],
    ['$glob', '*', (r) => r.queue !== null],
  ] satisfies [string, unknown, (record: PlainRecord) => boolean][]
).map(([operator, operand, keep]) => ({
  name: `queue ${operator} ${JSON.stringify(operand)}`,
  query: () => ({ queue: { [operator]: operand } }) as TaskQuery,
  keep,
}));

/** The same operators on a text that is null in some records: null is not equal to a text and not ordered. */
const nullable: Case[] = (
  [
    ['$eq', (v, w) => v === w],
    ['$ne', (v, w) => v !== w],
    ['$gt', (v, w) => v !== null && v > w],
    ['$ge', (v, w) => v !== null && v > w],
    ['$gte', (v, w) => v !== null && v >= w],
    ['$lt', (v, w) => v !== null && v < w],
    ['$le', (v, w) => v !== null && v < w],
    ['$lte', (v, w) => v !== null && v <= w],
  ] satisfies [string, (value: string | null, wanted: string) => boolean][]
).flatMap(([operator, compare]) => [
  {
    name: `execute_input ${operator} a text`,
    query: () => ({ execute_input: { [operator]: '6 * 7' } }) as TaskQuery,
    keep: (r: PlainRecord) => compare(r.execute_input, '6 * 7'),
  },
  {
    name: `engine_uuid ${operator} an engine`,
    query: ({ engines }: Workload) => ({ engine_uuid: { [operator]: engines[0] } }) as TaskQuery,
    keep: (r: PlainRecord, { engines }: Workload) => compare(r.engine_uuid, engines[0]),
    differs: 'by run' as const,
  },
  {
    name: `label ${operator} a text`,
    query: () => ({ label: { [operator]: 'nightly' } }) as TaskQuery,
    keep: (r: PlainRecord) => compare(r.label, 'nightly'),
    differs: 'by label' as const,
  },
]);

const lists: Case[] = [
  {
    name: 'engines 0 and 1',
    query: ({ engines }) => ({ engine_uuid: { $in: engines } }),
    keep: (r) => r.engine_uuid !== null,
  },
  {
    name: 'engine 0 or none',
    query: ({ engines }) => ({ engine_uuid: { $in: [engines[0], null] } }),
    keep: (r, { engines }) => r.engine_uuid === engines[0] || r.engine_uuid === null,
    differs: 'by run',
  },
  {
    name: 'not engine 0',
    query: ({ engines }) => ({ engine_uuid: { $nin: [engines[0]] } }),
    keep: (r, { engines }) => r.engine_uuid !== engines[0],
    differs: 'by run',
  },
  {
    name: 'a list of 5,000 with our ids at its end or in its middle',
    query: ({ records }) => ({
      msg_id: {
        $in: [
          ...Array.from({ length: 2_500 }, (_, i) => `unknown_${i}`),
          ...records.slice(0, 5).map(({ msg_id }) => msg_id),
          ...Array.from({ length: 2_490 }, (_, i) => `stranger_${i}`),
          ...records.slice(0, 8).map(({ msg_id }) => msg_id),
        ],
      },
    }),
    keep: (r, { records }) => records.slice(0, 8).some(({ msg_id }) => msg_id === r.msg_id),
    differs: 'by run',
  },
  {
    name: 'not in a list of 5,000',
    query: () => ({
      msg_id: { $nin: ['done-0', ...Array.from({ length: 4_998 }, (_, i) => `unknown_${i}`), 'fail-0'] },
    }),
    keep: (r) => r.msg_id !== 'done-0' && r.msg_id !== 'fail-0',
  },
  {
    name: 'two long lists and the negation of another, of three keys',
    query: ({ engines }) => {
      const noise = (prefix: string) => Array.from({ length: 1_800 }, (_, i) => `${prefix}${i}`);
      return {
        msg_id: { $in: [...noise('m'), 'done-0', 'print-1', 'task-waits', 'waits-0'], $nin: noise('n') },
        engine_uuid: { $in: [...noise('e'), ...engines] },
        queue: { $nin: [...noise('q'), 'task'] },
      };
    },
    keep: (r) => ['done-0', 'print-1', 'waits-0'].includes(r.msg_id),
  },
  {
    name: '$in and $nin with lists of 900 on one key',
    query: () => {
      const noise = (prefix: string) => Array.from({ length: 899 }, (_, i) => `${prefix}${i}`);
      return { msg_id: { $in: [...noise('m'), 'done-0'], $nin: [...noise('n'), 'print-1'] } };
    },
    keep: (r) => r.msg_id === 'done-0',
  },
];

const dateTests: [string, (order: number) => boolean][] = [
  ['$eq', (order) => order === 0],
  ['$gt', (order) => order > 0],
  ['$ge', (order) => order > 0],
  ['$gte', (order) => order >= 0],
  ['$lt', (order) => order < 0],
  ['$le', (order) => order < 0],
  ['$lte', (order) => order <= 0],
];

const dates: Case[] = [
  ...dateTests.flatMap(([operator, accept]) => [
    // The stored dates differ by a microsecond and a millisecond.
    ...[-1, 0, 1, 2, 876].map((ms) => ({
      name: `submitted ${operator} the first ${ms < 0 ? '-' : '+'} ${Math.abs(ms)} ms`,
      query: () => ({ submitted: { [operator]: after(ms) } }) as TaskQuery,
      keep: (r: PlainRecord) => byMs('submitted', accept)(r, after(ms)),
    })),
    ...[-1, 0, 1].map((ms) => ({
      name: `started ${operator} a task's start ${ms < 0 ? '-' : '+'} ${Math.abs(ms)} ms`,
      query: (w: Workload) =>
        ({ started: { [operator]: dateOf(microsOf(w, 'print-1', 'started'), ms) } }) as TaskQuery,
      keep: (r: PlainRecord, w: Workload) =>
        byMs('started', accept)(r, dateOf(microsOf(w, 'print-1', 'started'), ms)),
      differs: 'by run' as const,
    })),
    ...far.map((date) => ({
      name: `completed ${operator} ${date.toISOString()}`,
      query: () => ({ completed: { [operator]: date } }) as TaskQuery,
      keep: (r: PlainRecord) => byMs('completed', accept)(r, date),
    })),
  ]),
  {
    name: 'a half-open range of a millisecond',
    query: () => ({ submitted: { $gte: first, $lt: after(1) } }),
    keep: (r) => byMs('submitted', (o) => o === 0)(r, first),
  },
  {
    name: 'an empty range',
    query: () => ({ submitted: { $gt: first, $lt: after(1) } }),
    keep: () => false,
  },
  {
    name: 'not a date: nulls are included',
    query: (w) => ({ completed: { $ne: dateOf(microsOf(w, 'done-0', 'completed')) } }),
    keep: (r, w) => !byMs('completed', (o) => o === 0)(r, dateOf(microsOf(w, 'done-0', 'completed'))),
    differs: 'by run',
  },
  {
    name: 'one of some dates',
    query: () => ({ submitted: { $in: [after(2), first, after(10)] } }),
    keep: (r) => [first, after(2)].some((date) => byMs('submitted', (o) => o === 0)(r, date)),
  },
  {
    name: 'one of some dates, or none at all',
    query: (w) => ({ started: { $in: [dateOf(microsOf(w, 'fail-0', 'started')), null] } }),
    keep: (r, w) =>
      r.started === null || byMs('started', (o) => o === 0)(r, dateOf(microsOf(w, 'fail-0', 'started'))),
    differs: 'by run',
  },
  {
    name: 'none of some dates',
    query: () => ({ submitted: { $nin: [first, after(1)] } }),
    keep: (r) => ![first, after(1)].some((date) => byMs('submitted', (o) => o === 0)(r, date)),
  },
  {
    name: 'one of very many dates',
    query: () => ({ submitted: { $in: Array.from({ length: 50_000 }, (_, i) => after(i * 2)) } }),
    keep: (r) => byMs('submitted', (o) => o >= 0 && o % 2 === 0 && o < 100_000)(r, first),
  },
  ...(['$gt', '$ge', '$lt', '$le'] as const).map((operator) => ({
    name: `started ${operator} null`,
    query: () => ({ started: { [operator]: null } }) as TaskQuery,
    keep: () => false,
  })),
  ...(['$gte', '$lte', '$eq'] as const).map((operator) => ({
    name: `started ${operator} null`,
    query: () => ({ started: { [operator]: null } }) as TaskQuery,
    keep: (r: PlainRecord) => r.started === null,
  })),
  {
    name: 'the documentation: incomplete tasks',
    query: () => ({ completed: null }),
    keep: (r) => r.completed === null,
  },
  {
    name: 'the documentation: mine, started in the last hour',
    query: (w) => ({
      started: { $gte: anHourBefore(dateOf(microsOf(w, 'done-0', 'started'))) },
      client_uuid: ALICE,
    }),
    keep: (r) => r.client_uuid === ALICE && r.started !== null,
  },
  {
    name: 'the documentation: of others, started more than an hour ago',
    query: (w) => ({
      started: { $le: new Date(msOf(microsOf(w, 'fail-0', 'started')) + 1) },
      client_uuid: { $ne: ALICE },
    }),
    keep: (r, w) =>
      r.client_uuid !== ALICE &&
      byMs('started', (o) => o < 0)(r, new Date(msOf(microsOf(w, 'fail-0', 'started')) + 1)),
    differs: 'by run',
  },
];

const globs: Case[] = (
  [
    ['hello*', /^hello/],
    ['*', /^/],
    ['', /^$/],
    ['h?llo*', /^h[\s\S]llo/],
    ['*[[]1]*', /\[1\]/],
    ['[!h]*', /^[^h]/],
    ['*😀?', /😀[\s\S]$/],
    ['HELLO*', /^HELLO/],
    ['*\n', /\n$/],
    ['[', /^\[$/],
  ] satisfies [string, RegExp][]
).map(([pattern, expression]) => ({
  name: `stdout $glob ${JSON.stringify(pattern)}`,
  query: () => ({ stdout: { $glob: pattern } }),
  keep: (r) => r.stdout !== null && expression.test(r.stdout),
}));

const labels: Case[] = [
  {
    name: 'a label',
    query: () => ({ label: 'nightly' }),
    keep: (r) => r.label === 'nightly',
    differs: 'by label',
  },
  { name: 'no label', query: () => ({ label: null }), keep: (r) => r.label === null, differs: 'by label' },
  { name: 'the empty label', query: () => ({ label: '' }), keep: (r) => r.label === '', differs: 'by label' },
  {
    name: 'labels by pattern',
    query: () => ({ label: { $glob: 'nightly*' } }),
    keep: (r) => r.label?.startsWith('nightly') === true,
    differs: 'by label',
  },
  {
    name: 'a label that looks like a date',
    query: () => ({ label: '2026-01-15T10:00:00.000000Z' }),
    keep: (r) => r.label === '2026-01-15T10:00:00.000000Z',
    differs: 'by label',
  },
  {
    name: 'labels after one that looks like a date',
    query: () => ({ label: { $gte: '2026-01-15T10:00:00Z' } }),
    keep: (r) => r.label !== null && r.label >= '2026-01-15T10:00:00Z',
    differs: 'by label',
  },
  {
    name: 'neither label nor end',
    query: () => ({ label: { $nin: ['nightly', 'slow'] }, completed: null }),
    keep: (r) => r.label !== 'nightly' && r.label !== 'slow' && r.completed === null,
    differs: 'by label',
  },
];

const paths: Case[] = [
  {
    name: 'a status in the result',
    query: () => ({ 'result_content.status': 'error' }),
    keep: (r) => r.result_content?.status === 'error',
  },
  {
    name: 'not that status',
    query: () => ({ 'result_content.status': { $ne: 'ok' } }),
    keep: (r) => r.result_content?.status !== 'ok',
  },
  {
    name: 'no status, and a plain key',
    query: () => ({ 'result_content.status': null, queue: 'task' }),
    keep: (r) => r.queue === 'task' && (r.result_content?.status ?? null) === null,
  },
  {
    name: 'a path that no record has',
    query: () => ({ 'content.no.such.path': { $ne: null } }),
    keep: () => false,
  },
  {
    name: 'a number',
    query: () => ({ 'result_content.execution_count': { $gte: 1 } }),
    keep: (r) =>
      typeof r.result_content?.execution_count === 'number' && r.result_content.execution_count >= 1,
  },
  {
    name: 'a boolean',
    query: () => ({ 'content.silent': false }),
    keep: (r) => r.content.silent === false,
  },
  {
    name: 'the session in the header, by pattern',
    query: () => ({ 'header.session': { $glob: '*alice' } }),
    keep: (r) => r.header.session === ALICE,
  },
  {
    name: 'a displayed text, by the older name of its key',
    query: () => ({ 'pyout.data.text/plain': '42' }),
    keep: (r) => (r.execute_result?.data as { [mime: string]: unknown } | undefined)?.['text/plain'] === '42',
  },
  {
    name: 'a displayed value',
    query: () => ({ pyout: { $ne: null } }),
    keep: (r) => r.execute_result !== null,
  },
  { name: 'no error', query: () => ({ pyerr: null }), keep: (r) => r.error === null },
  { name: 'an error', query: () => ({ error: { $ne: null } }), keep: (r) => r.error !== null },
  {
    name: 'the value of an error',
    query: () => ({ 'pyerr.evalue': 'bad luck' }),
    keep: (r) => r.error?.evalue === 'bad luck',
  },
  {
    name: 'an input, by the older name of its key',
    query: () => ({ pyin: '6 * 7' }),
    keep: (r) => r.execute_input === '6 * 7',
  },
  {
    name: 'a complete dict',
    query: () => ({ content: { code: '6 * 7', silent: false, user_expressions: {}, stop_on_error: false } }),
    keep: (r) =>
      JSON.stringify(r.content) ===
      '{"code":"6 * 7","silent":false,"user_expressions":{},"stop_on_error":false}',
  },
  {
    name: 'a dict with its keys in another order is another dict',
    query: () => ({ content: { silent: false, code: '6 * 7', user_expressions: {}, stop_on_error: false } }),
    keep: () => false,
  },
  {
    name: 'a dict that is not empty',
    query: () => ({ 'content.user_expressions': { $ne: {} } }),
    keep: () => false,
  },
  {
    name: 'a complete result that is null',
    query: () => ({ result_content: { $in: [null, {}] } }),
    keep: (r) => r.result_content === null,
  },
];

const odd: Case[] = [
  {
    name: 'a text that JSON has to escape',
    query: () => ({ stdout: { $ne: '"\\\u0000\u2028' } }),
    keep: () => true,
  },
  {
    name: 'a text that is not Unicode',
    query: () => ({ stdout: { $nin: ['\ud800', 'hello\n'] } }),
    keep: (r) => r.stdout !== 'hello\n',
  },
  {
    name: 'one of such texts',
    query: () => ({ stdout: { $in: ['\udc00x', 'hello\n'] } }),
    keep: (r) => r.stdout === 'hello\n',
  },
  { name: 'a pattern of such texts', query: () => ({ stdout: { $glob: '\ud800*' } }), keep: () => false },
  {
    name: 'a text that Python would read as a date',
    query: () => ({ stdout: { $lt: '٢٠٢٦-٠١-١٥T١٠:٠٠:٠٠Z' } }),
    keep: (r) => r.stdout !== null,
  },
  {
    name: 'a date as text',
    query: () => ({ stdout: { $in: ['2026-01-15T10:00:00Z', 'hello\n'] } }),
    keep: (r) => r.stdout === 'hello\n',
  },
  {
    name: 'not that date as text',
    query: () => ({ stdout: { $nin: ['2026-01-15T10:00:00Z', 'hello\n'] } }),
    keep: (r) => r.stdout !== 'hello\n',
  },
  {
    name: 'four bounds of one key',
    query: () => ({ msg_id: { $gt: 'd', $gte: 'done-0', $lt: 'q', $lte: 'print-1' } }),
    keep: (r) => r.msg_id >= 'done-0' && r.msg_id <= 'print-1',
    differs: 'by run',
  },
  { name: 'bounds that exclude all', query: () => ({ msg_id: { $gt: 'z', $lt: 'a' } }), keep: () => false },
  {
    name: 'buffers',
    query: () => ({ buffers: { $ne: null }, queue: 'task' }),
    keep: (r) => r.queue === 'task',
  },
];

/** All queries of the documentation's table of operators, and others that must select the same records on every hub. */
const unfinished = (r: PlainRecord): boolean => r.completed === null;
const status = (r: PlainRecord): unknown => r.result_content?.status ?? null;

const wholeQueries: Case[] = [
  {
    name: 'one or the other',
    query: () => ({ $or: [{ completed: null }, { 'result_content.status': 'error' }] }),
    keep: (r) => unfinished(r) || status(r) === 'error',
  },
  {
    name: 'one of two ids, and a plain key',
    query: () => ({ $or: [{ msg_id: 'done-0' }, { msg_id: 'print-1' }], queue: 'mux' }),
    keep: (r) => ['done-0', 'print-1'].includes(r.msg_id) && r.queue === 'mux',
  },
  {
    name: 'all of several queries, on one key too',
    query: () => ({
      $and: [{ submitted: { $gte: first } }, { submitted: { $lte: after(1) } }, { queue: 'mux' }],
    }),
    keep: (r) => byMs('submitted', (o) => o >= 0 && o <= 1)(r, first) && r.queue === 'mux',
  },
  {
    name: 'none of several queries',
    query: () => ({ $nor: [{ queue: 'task' }, { completed: null }] }),
    keep: (r) => r.queue !== 'task' && !unfinished(r),
  },
  {
    name: 'branches within branches',
    query: () => ({
      $or: [
        { $and: [{ queue: 'mux' }, { $nor: [{ client_uuid: ALICE }] }] },
        { client_uuid: ALICE, $or: [{ started: null }, { stdout: { $gt: '' } }] },
      ],
    }),
    keep: (r) =>
      (r.queue === 'mux' && r.client_uuid !== ALICE) ||
      (r.client_uuid === ALICE && (r.started === null || (r.stdout ?? '') > '')),
  },
  {
    name: 'a branch that anything matches',
    query: () => ({ $or: [{ queue: 'mux' }, {}] }),
    keep: () => true,
  },
  {
    name: 'more branches than are sent one by one',
    query: () => ({
      $or: Array.from({ length: 40 }, (_, i) => ({
        msg_id: { $gte: `waits-${i}` },
        queue: i % 2 ? 'mux' : 'task',
      })),
    }),
    keep: (r) =>
      r.queue !== null &&
      Array.from({ length: 40 }, (_, i) => i).some(
        (i) => r.msg_id >= `waits-${i}` && r.queue === (i % 2 ? 'mux' : 'task'),
      ),
  },
];

const negations: Case[] = [
  {
    name: 'not after a text: nulls are included',
    query: () => ({ execute_input: { $not: { $gt: '6 * 7' } } }),
    keep: (r) => r.execute_input === null || r.execute_input <= '6 * 7',
  },
  {
    name: 'not in a range',
    query: () => ({ submitted: { $not: { $gte: first, $lt: after(2) } } }),
    keep: (r) => !byMs('submitted', (o) => o >= 0 && o < 2)(r, first),
  },
  {
    name: 'not not',
    query: () => ({ queue: { $not: { $not: { $eq: 'mux' } } } }),
    keep: (r) => r.queue === 'mux',
  },
  {
    name: 'not a pattern',
    query: () => ({ stdout: { $not: /hello/ } }),
    keep: (r) => r.stdout?.includes('hello') !== true,
  },
];

const regexes: Case[] = (
  [
    [/hello/, /hello/],
    [/^hello/, /^hello/],
    [/HELLO/i, /hello/i],
    [/\[1\]/, /\[1\]/],
    [/^h(e|x)llo.*\n$/s, /^h(e|x)llo[\s\S]*\n$/],
    [/^$/, /^$/],
    [/\n$/, /\n$/],
    [/😀$/m, /😀$/m],
  ] satisfies [RegExp, RegExp][]
).map(([pattern, expression]) => ({
  name: `stdout $regex ${pattern}`,
  query: () => ({ stdout: pattern }),
  keep: (r) => r.stdout !== null && expression.test(r.stdout),
}));

const insideDicts: Case[] = [
  {
    name: 'an existing key',
    query: () => ({ 'result_content.evalue': { $exists: true } }),
    keep: (r) => r.result_content !== null && Object.hasOwn(r.result_content, 'evalue'),
  },
  {
    name: 'a missing key',
    query: () => ({ 'result_content.evalue': { $exists: false } }),
    keep: (r) => r.result_content === null || !Object.hasOwn(r.result_content, 'evalue'),
  },
  {
    name: 'an existing column, null or not',
    query: () => ({ completed: { $exists: true } }),
    keep: () => true,
  },
  { name: 'a missing column', query: () => ({ completed: { $exists: false } }), keep: () => false },
  {
    name: 'a remainder',
    query: () => ({ 'result_content.execution_count': { $mod: [2, 1] } }),
    keep: (r) =>
      typeof r.result_content?.execution_count === 'number' && r.result_content.execution_count % 2 === 1,
    // The scheduler chooses the engine.
    differs: 'by run',
  },
  {
    name: 'a type',
    query: () => ({ 'result_content.traceback': { $type: 'array' }, stdout: { $type: 'string' } }),
    keep: (r) => Array.isArray(r.result_content?.traceback) && r.stdout !== null,
  },
  {
    name: 'an item of a list',
    query: () => ({ 'error.traceback': { $elemMatch: { $regex: 'bad luck', $ne: '' } } }),
    keep: (r) =>
      Array.isArray(r.error?.traceback) &&
      r.error.traceback.some((line: unknown) => typeof line === 'string' && line.includes('bad luck')),
  },
  {
    name: 'a list of some length',
    query: () => ({ 'error.traceback': { $not: { $size: 0 } }, 'error.ename': { $all: [/Error$/] } }),
    keep: (r) => typeof r.error?.ename === 'string' && r.error.ename.endsWith('Error'),
  },
];

export const cases: readonly Case[] = [
  ...plain,
  ...texts,
  ...nullable,
  ...lists,
  ...dates,
  ...globs,
  ...labels,
  ...paths,
  ...odd,
  ...wholeQueries,
  ...negations,
  ...regexes,
  ...insideDicts,
];
