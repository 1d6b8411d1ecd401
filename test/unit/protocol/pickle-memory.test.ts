// Pickles made to take much: none takes more than its size allows, in a process that has little, and none takes long.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const program = fileURLToPath(new URL('../../support/programs/hostile-pickles.mjs', import.meta.url));
const run = promisify(execFile);

/** Of V8's heap: typed arrays lie outside of it, and count with what the process takes. */
const HEAP_MB = 64;
const MB = 1 << 20;
/** A process that reads nothing takes 50 MB; what it is done with lies about until it is looked for. */
const PROCESS = 256 * MB;
/** What takes hours where it is not refused takes a second; a loaded machine may take a hundred. */
const DEADLINE = 240_000;

interface Read {
  readonly name: string;
  readonly size: number;
  readonly problem: string | null;
  readonly mostMemory: number;
}

async function readAll(size: number, names: readonly string[] = []): Promise<Read[]> {
  const args = [`--max-old-space-size=${HEAP_MB}`, program, String(size), ...names];
  const { stdout } = await run(process.execPath, args, { timeout: DEADLINE, maxBuffer: 16 * MB });
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Read);
}

describe('pickles that are made to take much', { timeout: DEADLINE + 10_000 }, () => {
  it.each([1000, 20_000])('take little where they are of %i bytes', async (size) => {
    const all = await readAll(size);
    expect(all.length).toBeGreaterThan(50);
    for (const { name, mostMemory } of all) expect(mostMemory, name).toBeLessThan(PROCESS);
    const laughs = all.filter(({ name }) => name.startsWith('laughs'));
    for (const { problem } of laughs) expect(problem).toMatch(/maxExpanded|maxDepth/);
    const copies = all.filter(({ name }) => name === 'copies of a dict' && size > 10_000);
    for (const { problem } of copies) expect(problem).toMatch(/maxMemory = \d+ bytes for \d+ received bytes/);
  });

  it('are refused or read where they are larger than the process', async () => {
    const names = ['empty sets', 'nothing but stack', 'arrays of bytes', 'instances', 'one dict, key by key'];
    const all = await readAll(4 * MB, names);
    expect(all.map(({ name }) => name)).toStrictEqual(names);
    expect(all.filter(({ problem }) => problem !== null).length).toBeGreaterThan(3);
    for (const { name, mostMemory } of all) expect(mostMemory, name).toBeLessThan(PROCESS + 100 * MB);
  });

  it('do not take the square of their size', async () => {
    const names = [
      'floats of one hash',
      'integers of one hash',
      'keys of one hash',
      'times past counting',
      'no float',
    ];
    const all = await readAll(MB, names);
    for (const { name, problem } of all.slice(0, 3)) expect(problem, name).toMatch(/maxOpcodes/);
    expect(all).toHaveLength(names.length);
  });
});
