import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { examples, runExample } from '../support/programs/run-example.js';

it('runs every example of the documentation on the embedded cluster', async () => {
  const { code, output } = await runExample('run-all');
  expect(output).toContain(`${examples.length} examples ok`);
  for (const name of examples) expect(output).toMatch(new RegExp(`${name} +│ ok `));
  expect(code).toBe(0);
}, 120_000);

it('fails when examples fail, and reports which and why', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ipp-test-'));
  try {
    const file = join(directory, 'client.json');
    writeFileSync(file, '{"key": "of something else"}');
    const { code, output } = await runExample('run-all', ['--connection-file', file]);
    expect(output).toContain(`connection file ${file}: field "interface" is missing`);
    expect(output).toContain(`${examples.length} of ${examples.length} examples failed`);
    expect(code).toBe(1);
  } finally {
    rmSync(directory, { recursive: true });
  }
}, 120_000);
