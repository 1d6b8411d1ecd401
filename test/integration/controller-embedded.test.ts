// A program that contains a controller may end without stopping it: the zeromq socket of the hub's thread must not abort
// the process with SIGABRT.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const hub = pathToFileURL(createRequire(import.meta.url).resolve('@ipyparallel-js/hub')).href;
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ippjs-embedded-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function runs(then: string): Promise<{ code: number | null; signal: string | null }> {
  const program = `
    import { Controller } from ${JSON.stringify(hub)};
    const controller = await Controller.start({ profileDir: ${JSON.stringify(directory)}, logLevel: 'error' });
    ${then}`;
  const file = join(directory, 'program.mjs');
  await writeFile(file, program);
  const child = spawn(process.execPath, [file], { stdio: 'ignore' });
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  return { code, signal };
}

test('process.exit() keeps its code', { timeout: 60_000 }, async () => {
  expect(await runs('process.exit(7);')).toEqual({ code: 7, signal: null });
});

test('an uncaught error ends the program with the exit code of an error', { timeout: 60_000 }, async () => {
  expect(await runs('setImmediate(() => { throw new Error("uncaught"); });')).toEqual({
    code: 1,
    signal: null,
  });
});

test('a stopped controller lets its program end by itself', { timeout: 60_000 }, async () => {
  expect(await runs('await controller.stop();')).toEqual({ code: 0, signal: null });
});
