// docs/python-api.md says where every name and parameter of ipyparallel's client classes is: compared with our classes as
// the compiler knows them. test/interop/python-api.test.ts compares it with Python's.
import * as client from '@ipyparallel-js/client';
import { expect, test } from 'vitest';
import { ourSignatures } from '../../support/documents/our-signatures.js';
import { complaints, readApiTable, readLeftOut } from '../../support/documents/python-api-table.js';

const names = ['Client', 'DirectView', 'LoadBalancedView', 'BroadcastView', 'AsyncResult'];

test('the table of the Python API says what is here', () => {
  const table = readApiTable();
  expect([...table.keys()]).toEqual(names);
  for (const entries of table.values()) expect(entries.length).toBeGreaterThan(20);
  const ours = { signatures: ourSignatures(), exports: new Set(Object.keys(client)) };
  expect(complaints(table, readLeftOut(), ours)).toEqual([]);
}, 60_000);

const made = (rows: string, leftOut = '') => {
  const page = `# A page\n\n## Parameters left out\n\n${leftOut}\n\n## Client\n\n| Python | here | |\n|---|---|---|\n${rows}\n`;
  const wait = { positional: new Set(['jobs', 'options']), options: new Set(['timeout']) };
  const view = { positional: new Set(['flags']), options: new Set(['targets']) };
  const signatures = new Map([['Client', new Map(Object.entries({ waitFor: wait, with: view }))]]);
  return complaints(readApiTable(page), readLeftOut(page), { signatures, exports: new Set(['kwargs']) });
};

test('a right table is right', () => {
  const parameters =
    '`jobs`, `timeout` → `{ timeout }`, `to` → `with({ targets })`, `kw` → `kwargs()`, `block` –';
  const reason = '| `block` | all | nothing ever blocks |';
  expect(made(['| `wait` | `waitFor` |', parameters, '|'].join(' '), reason)).toEqual([]);
});

test.each([
  ['a name that is not here', '| `wait` | `wait` | |', '', 'Client has no wait'],
  ['a name left out for no reason', '| `wait` | – | - |', '', 'Client.wait has no reason'],
  ['a parameter that is not here', '| `w` | `waitFor` | `job` |', '', 'Client.w job: no job'],
  ['an option that is not here', '| `w` | `waitFor` | `t` → `{ time }` |', '', 'Client.w t: no { time }'],
  ['an option that is none', '| `w` | `waitFor` | `t` → `timeout` |', '', 'Client.w t: no timeout'],
  [
    'a flag that is not here',
    '| `w` | `waitFor` | `t` → `with({ to })` |',
    '',
    'Client.w t: no with({ to })',
  ],
  ['a function that is not exported', '| `w` | `waitFor` | `t` → `kw()` |', '', 'Client.w t: no kw()'],
  [
    'a parameter left out for no reason',
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
    'a parameter that is here, left out',
    '| `w` | `waitFor` | `timeout` – |',
    '| `timeout` | all | it takes as long as it takes |',
    'Client.w timeout is not left out',
  ],
  [
    'a reason for nothing',
    '| `w` | `waitFor` | `jobs` |',
    '| `block` | all | nothing ever blocks |',
    'block is left out nowhere',
  ],
])('%s is found', (_, rows, leftOut, complaint) => {
  expect(made(rows, leftOut)).toContain(complaint);
});

test('a line that is not understood is no line passed over', () => {
  expect(() => made('| wait | `waitFor` | |')).toThrow(
    'Client has 1 lines, but only 0 of them parse as entries',
  );
  expect(() => made('| `w` | `waitFor` | jobs and more |')).toThrow(
    '"jobs and more" does not name a parameter',
  );
});
