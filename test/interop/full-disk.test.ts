// A controller whose Task Database file may not grow any further. A limit on the size of files acts like a full disk,
// and prlimit can remove it.
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Dict } from '@ipyparallel-js/protocol';
import { expect, test } from 'vitest';
import { cleanEnv } from '../support/environment.js';
import { RawClient } from '../support/fakes/raw-client.js';
import { answerAll, RawEngine } from '../support/fakes/raw-engine.js';
import { describeRequiring, missingProgram } from '../support/requirements.js';
import { waitFor } from '../support/wait-for.js';

const main = createRequire(import.meta.url).resolve('@ipyparallel-js/hub/main');
const missing = process.platform === 'linux' ? missingProgram('prlimit') : 'prlimit exists on Linux only';

describeRequiring(missing, 'a full disk', () => {
  test('tasks continue while the disk is full, and the store writes the held changes later', async () => {
    const location = mkdtempSync(join(tmpdir(), 'ippjs-full-disk-'));
    const file = join(location, 'tasks.db');
    const child = spawn(
      'sh',
      [
        '-c',
        'ulimit -S -f 600; exec "$0" "$@"',
        process.execPath,
        main,
        '--profile-dir',
        location,
        '--sqlitedb',
        '--ping=200',
      ],
      {
        env: cleanEnv(),
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    try {
      let errors = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        errors += text;
      });
      const [clientFile, engineFile] = ['client', 'engine'].map((role) =>
        join(location, 'security', `ipcontroller-${role}.json`),
      ) as [string, string];
      await waitFor(() => existsSync(clientFile) && existsSync(engineFile), { what: () => errors });
      const client = RawClient.fromFile(clientFile);
      const engine = await RawEngine.start(engineFile, { onTask: answerAll });
      try {
        await waitFor(async () => (await client.engines()).size === 1);
        const buffers = [Buffer.alloc(20_000, 1)];
        let replies = 0;
        const submit = async (): Promise<void> => {
          const reply = await client.submit('task', 'apply_request', {}, undefined, { buffers }).reply();
          expect(reply.content.status).toBe('ok');
          replies++;
        };
        await waitFor(
          async () => {
            await submit();
            return errors.includes('cannot be written to');
          },
          { timeout: 60_000, interval: 1, what: () => `the disk to be full: ${errors}` },
        );
        for (let i = 0; i < 20; i++) await submit();
        const requestIds = () =>
          client.submit('registration', 'db_request', { query: {}, keys: ['msg_id'] }).reply();
        const refused = await requestIds();
        expect(refused.content).toMatchObject({ status: 'error', ename: 'TaskFileError' });
        expect(String(refused.content.evalue)).toContain(file);
        await promisify(execFile)('prlimit', [`--pid=${child.pid}`, '--fsize=unlimited']);
        const records = await waitFor(
          async () => {
            const { content } = await requestIds();
            return content.status === 'ok' && (content.records as Dict[]);
          },
          { timeout: 60_000, interval: 100, what: () => `the store to write the held changes: ${errors}` },
        );
        expect(records).toHaveLength(replies);
        // The log arrives through another pipe than the reply.
        await waitFor(() => errors.includes('can be written again'), { what: () => errors });
      } finally {
        client.close();
        engine.close();
      }
    } finally {
      child.kill('SIGKILL');
      rmSync(location, { recursive: true, force: true });
    }
  });
});
