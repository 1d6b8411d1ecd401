// Dates and records in the format of hubs have a fast path. It must return the same as the general path.
import { exactTime, parseWireDate, type TaskKey } from '@ipyparallel-js/protocol';
import { decodeRecord, recordDecoder } from '@ipyparallel-js/protocol/internal';
import { expect, test } from 'vitest';

test.each([
  '2026-11-22T14:29:40.384024',
  '2026-01-31T23:59:59.999999',
  '2024-02-29T00:00:00.000000',
  '2026-02-29T00:00:00.000000',
  '2026-04-31T00:00:00.000000',
  '0099-12-31T12:00:00.000001',
  '2026-13-01T00:00:00.000000',
  '2026-00-10T00:00:00.000000',
  '2026-01-00T00:00:00.000000',
  '2026-01-01T24:00:00.000000',
  '2026-01-01T25:00:00.000000',
  '2026-01-01T00:60:00.000000',
  '2026-01-01T00:00:60.000000',
  '2026-01-01T00:00:0x.000000',
  '2026-01-01T00:00:00.00000 ',
  '2026/01/01T00:00:00.000000',
])('both paths return the same date for %sZ', (text) => {
  const fast = parseWireDate(`${text}Z`);
  const general = parseWireDate(`${text}+00:00`);
  expect(fast?.date).toEqual(general?.date);
  // Both paths read a day beyond the end of the month as a day of the next month.
  if (fast?.date.toISOString().slice(0, 10) === text.slice(0, 10)) expect(fast.exact).toBe(`${text}Z`);
});

const KEYS: readonly TaskKey[] = ['msg_id', 'header', 'submitted', 'completed', 'stdout', 'display_data'];
const wire = () => ({
  msg_id: 'a',
  header: { n: 1 },
  submitted: '2026-11-22T14:29:40.384024Z',
  completed: null,
  stdout: '',
});

test.each([
  ['the requested keys', wire()],
  ['the requested keys and display_data', { ...wire(), display_data: { data: {} } }],
  ['a dict as text', { ...wire(), header: '{"n": 1}' }],
  ['an invalid date', { ...wire(), submitted: 'soon' }],
  ['keys in another order', { header: {}, msg_id: 'a', submitted: null, completed: null, stdout: '' }],
  ['missing keys', { msg_id: 'a' }],
  ['an extra key', { ...wire(), stderr: 'x' }],
  [
    'an extra key and a missing key',
    JSON.parse('{"msg_id":"a","header":{},"submitted":null,"completed":null,"__proto__":1}'),
  ],
])('both paths return the same record for %s', (_, record) => {
  const general = decodeRecord(structuredClone(record), KEYS);
  const fast = recordDecoder(KEYS)(structuredClone(record));
  expect(fast).toStrictEqual(general);
  expect(Object.keys(fast)).toEqual(Object.keys(general));
  expect(exactTime(fast, 'submitted')).toBe(exactTime(general, 'submitted'));
});
