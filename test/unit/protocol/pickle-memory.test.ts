// Reads hostile pickles in a process with little memory: none may exceed the memory or time that its size allows.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const program = fileURLToPath(new URL('../../support/programs/hostile-pickles.mjs', import.meta.url));
const run = promisify(execFile);

/** Size of V8's heap, which excludes typed arrays; those count towards the memory of the process. */
const HEAP_MB = 64;
const MB = 1 << 20;
/** An idle process takes 50 MB, and garbage is not collected at once. */
const PROCESS_BYTES = 256 * MB;
/** A refused pickle takes a second, or 100 s on a loaded machine; without the refusal it would take hours. */
const DEADLINE = 240_000;

interface Read {
  readonly name: string;
  readonly size: number;
  readonly problem: string | null;
  readonly maxMemory: number;
}

async function readAll(size: number, names: readonly string[] = []): Promise<Read[]> {
  const args = [`--max-old-space-size=${HEAP_MB}`, program, String(size), ...names];
  const { stdout } = await run(process.execPath, args, { timeout: DEADLINE, maxBuffer: 16 * MB });
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Read);
}

describe('pickles made to consume memory or time', { timeout: DEADLINE + 10_000 }, () => {
  it.each([1000, 20_000])('stay within the memory limit with %i bytes', async (size) => {
    const all = await readAll(size);
    expect(all.length).toBeGreaterThan(50);
    for (const { name, maxMemory } of all) expect(maxMemory, name).toBeLessThan(PROCESS_BYTES);
    const laughs = all.filter(({ name }) => name.startsWith('laughs'));
    for (const { problem } of laughs) expect(problem).toMatch(/maxExpanded|maxDepth/);
    const copies = all.filter(({ name }) => name === 'copies of a dict' && size > 10_000);
    for (const { problem } of copies) expect(problem).toMatch(/maxMemory = \d+ bytes for \d+ received bytes/);
  });

  it('are refused or decoded if they are larger than the heap allows', async () => {
    const names = ['empty sets', 'nothing but stack', 'arrays of bytes', 'instances', 'one dict, key by key'];
    const all = await readAll(4 * MB, names);
    expect(all.map(({ name }) => name)).toStrictEqual(names);
    expect(all.filter(({ problem }) => problem !== null).length).toBeGreaterThan(3);
    for (const { name, maxMemory } of all) expect(maxMemory, name).toBeLessThan(PROCESS_BYTES + 100 * MB);
  });

  it('do not take time quadratic in their size', async () => {
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
