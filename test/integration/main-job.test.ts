import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cluster } from '@ipyparallel-js/cluster';
import { belongingTo, listProcesses } from '@ipyparallel-js/cluster/internal';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isAlive } from '../support/processes.js';
import { expectMainJobOutput } from '../support/programs/main-job-output.js';
import { runStart } from '../support/programs/run-example.js';
import { waitFor } from '../support/wait-for.js';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ipp-test-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

/** Runs `npm start` in a temporary directory and records every process that it starts. */
async function start(args: readonly string[] = [], interruptAt?: { line: string; signal: NodeJS.Signals }) {
  const seen = new Set<number>();
  let listing: Promise<void> = Promise.resolve();
  let sent = false;
  const run = await runStart(args, {
    env: { TMPDIR: directory },
    onOutput: (output, { pid = 0 }) => {
      listing = listing.then(async () => {
        for (const found of belongingTo([pid], await listProcesses())) seen.add(found);
      });
      if (interruptAt === undefined || sent || !output.includes(interruptAt.line)) return;
      sent = true;
      void listing.then(() => process.kill(pid, interruptAt.signal));
    },
  });
  await listing;
  return { ...run, seen: [...seen] };
}

describe('npm start', { timeout: 120_000 }, () => {
  it('shows the main job on a temporary cluster and removes everything', async () => {
    const { code, output, seen } = await start();
    expectMainJobOutput(output);
    expect(code, output).toBe(0);
    // The processes are the program, the guard, the controller, two engines and their kernels.
    expect(seen.length).toBeGreaterThanOrEqual(5);
    expect(seen.filter(isAlive)).toEqual([]);
    expect(readdirSync(directory)).toEqual([]);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('stops all processes on %s', async (signal) => {
    const { signal: ending, output, seen } = await start([], { line: 'of 14 done', signal });
    expect(ending, output).toBe(signal);
    expect(output).toContain('Stopping …');
    expect(output.split('Stopping …')[1]?.trim()).toBe('');
    await waitFor(() => !seen.some(isAlive), { what: 'every process to end' });
    expect(readdirSync(directory)).toEqual([]);
  });

  it('runs on an existing cluster and changes only its own tasks', async () => {
    await using cluster = await Cluster.start({ n: 2 });
    await using rc = await cluster.connect();
    const before = rc.directView(0).execute('1 + 1');
    const failing = rc.directView(1).execute('nobody.knows');
    await before.get({ timeout: 30_000 });
    await expect(failing.get({ timeout: 30_000 })).rejects.toThrow('nobody is not defined');

    const { code, output } = await start(['--connection-file', cluster.connectionFile]);
    expectMainJobOutput(output);
    expect(code, output).toBe(0);
    const records = await rc.dbQuery({}, ['client_uuid', 'resubmitted']);
    expect(records.map(({ msg_id }) => msg_id)).toEqual([...before.msgIds, ...failing.msgIds]);
    expect(records.map(({ resubmitted }) => resubmitted)).toEqual([null, null]);
  });

  it('cleans up on a running cluster when it is interrupted', async () => {
    await using cluster = await Cluster.start({ n: 2 });
    await using rc = await cluster.connect();
    let sent = false;
    const { code, output } = await runStart(['--connection-file', cluster.connectionFile], {
      onOutput: (output, { pid = 0 }) => {
        if (sent || !output.includes('a few more, slow tasks')) return;
        sent = true;
        process.kill(pid, 'SIGINT');
      },
    });
    expect(code, output).toBe(130);
    // Three slow tasks run for three seconds. On a slow machine, some or all of them may have ended.
    expect(output.split('Stopping …')[1]?.trim()).toMatch(
      /^(?:[1-3] tasks are still running; their records remain in the database\.)?$/,
    );
    const left = await rc.dbQuery({}, ['msg_id']);
    expect(left.length).toBeLessThanOrEqual(3);
    expect(rc.ids).toEqual([0, 1]);
  });

  it('prints its options, and errors on one or two lines', async () => {
    const help = await start(['--help']);
    expect(help).toMatchObject({ code: 0, output: expect.stringContaining('--connection-file FILE') });

    const wrong = await start(['--nonsense']);
    expect(wrong.code).toBe(2);
    expect(wrong.output.trim().split('\n')).toEqual([
      "npm start: Unknown option '--nonsense' (npm start -- --help lists the options)",
    ]);

    const file = join(directory, 'ipcontroller-client.json');
    writeFileSync(file, '{"key": "of something else"}');
    const foreign = await start(['--connection-file', file]);
    expect(foreign.code).toBe(1);
    expect(foreign.output).toContain(`npm start: connection file ${file}: field "interface" is missing`);
    expect(foreign.output).not.toContain('    at ');
  });
});
