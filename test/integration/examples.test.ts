import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { examples, runExample } from '../support/programs/run-example.js';

// A busy machine runs each program six times more slowly.
const options = { timeout: 280_000 };

it('runs every example of the documentation on the embedded cluster', async () => {
  const { code, output } = await runExample('run-all', [], options);
  expect(output).toContain(`${examples.length} examples ok`);
  for (const name of examples) expect(output).toMatch(new RegExp(`${name} +│ ok `));
  expect(code).toBe(0);
}, 300_000);

it('fails when examples fail, and reports which and why', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ipp-test-'));
  try {
    const file = join(directory, 'client.json');
    writeFileSync(file, '{"key": "of something else"}');
    const { code, output } = await runExample('run-all', ['--connection-file', file], options);
    expect(output).toContain(`connection file ${file}: field "interface" is missing`);
    expect(output).toContain(`${examples.length} of ${examples.length} examples failed`);
    expect(code).toBe(1);
  } finally {
    rmSync(directory, { recursive: true });
  }
}, 300_000);
