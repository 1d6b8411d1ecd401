// Compares docs/python-api.md, which maps every name and parameter of ipyparallel's client classes, with our classes as the
// compiler sees them. test/interop/python-api.test.ts compares it with Python's classes.
import * as client from '@ipyparallel-js/client';
import { expect, test } from 'vitest';
import { ourSignatures } from '../../support/documents/our-signatures.js';
import { complaints, readApiTable, readLeftOut } from '../../support/documents/python-api-table.js';

const names = ['Client', 'DirectView', 'LoadBalancedView', 'BroadcastView', 'AsyncResult'];

test('the table of the Python API agrees with our classes', () => {
  const table = readApiTable();
  expect([...table.keys()]).toEqual(names);
  for (const entries of table.values()) expect(entries.length).toBeGreaterThan(20);
  const ours = { signatures: ourSignatures(), exports: new Set(Object.keys(client)) };
  expect(complaints(table, readLeftOut(), ours)).toEqual([]);
}, 60_000);

const errorsOf = (rows: string, leftOut = '') => {
  const page = `# A page\n\n## Parameters left out\n\n${leftOut}\n\n## Client\n\n| Python | here | |\n|---|---|---|\n${rows}\n`;
  const wait = { positional: new Set(['jobs', 'options']), options: new Set(['timeout']) };
  const view = { positional: new Set(['flags']), options: new Set(['targets']) };
  const signatures = new Map([['Client', new Map(Object.entries({ waitFor: wait, with: view }))]]);
  return complaints(readApiTable(page), readLeftOut(page), { signatures, exports: new Set(['kwargs']) });
};

test('a correct table has no errors', () => {
  const parameters =
    '`jobs`, `timeout` → `{ timeout }`, `to` → `with({ targets })`, `kw` → `kwargs()`, `block` –';
  const reason = '| `block` | all | nothing ever blocks |';
  expect(errorsOf(['| `wait` | `waitFor` |', parameters, '|'].join(' '), reason)).toEqual([]);
});

test.each([
  ['a missing name', '| `wait` | `wait` | |', '', 'Client has no wait'],
  ['a name left out without a reason', '| `wait` | – | - |', '', 'Client.wait has no reason'],
  ['a missing parameter', '| `w` | `waitFor` | `job` |', '', 'Client.w job: no job'],
  ['a missing option', '| `w` | `waitFor` | `t` → `{ time }` |', '', 'Client.w t: no { time }'],
  ['a parameter that is an option', '| `w` | `waitFor` | `t` → `timeout` |', '', 'Client.w t: no timeout'],
  ['a missing flag', '| `w` | `waitFor` | `t` → `with({ to })` |', '', 'Client.w t: no with({ to })'],
  ['a function that is not exported', '| `w` | `waitFor` | `t` → `kw()` |', '', 'Client.w t: no kw()'],
  [
    'a parameter left out without a reason',
    '| `w` | `waitFor` | `block` – |',
    '',
    'Client.w block has no reason',
  ],
  [
    'a parameter left out for the reason of another',
    '| `w` | `waitFor` | `block` – |',
    '| `block` | `Client.other` | nothing ever blocks |',
    'Client.w block has no reason',
  ],
  [
    'a parameter that exists but is left out',
    '| `w` | `waitFor` | `timeout` – |',
    '| `timeout` | all | it takes as long as it takes |',
    'Client.w timeout is not left out',
  ],
  [
    'a reason without a parameter',
    '| `w` | `waitFor` | `jobs` |',
    '| `block` | all | nothing ever blocks |',
    'block is listed as left out, but no method leaves it out',
  ],
])('%s is an error', (_, rows, leftOut, expected) => {
  expect(errorsOf(rows, leftOut)).toContain(expected);
});

test('a line that does not parse is an error', () => {
  expect(() => errorsOf('| wait | `waitFor` | |')).toThrow(
    'Client has 1 lines, but only 0 of them parse as entries',
  );
  expect(() => errorsOf('| `w` | `waitFor` | jobs and more |')).toThrow(
    '"jobs and more" does not name a parameter',
  );
});
