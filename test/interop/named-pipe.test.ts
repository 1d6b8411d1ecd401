import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openConnection } from '@ipyparallel-js/client/internal';
import { startDeadline } from '@ipyparallel-js/wire';
import { expect, test } from 'vitest';
import { describeRequiring, missingProgram } from '../support/requirements.js';

describeRequiring(missingProgram('mkfifo'), 'a connection file', () => {
  test('that is a named pipe is refused at once', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'ippjs-pipe-'));
    const pipe = join(directory, 'pipe');
    try {
      expect(spawnSync('mkfifo', [pipe]).status).toBe(0);
      const opening = openConnection({ connectionFile: pipe }, startDeadline({}, 10_000));
      await expect(opening).rejects.toThrow(/not a regular file/);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
