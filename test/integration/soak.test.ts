import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it } from 'vitest';

import { root } from '../support/repository.js';

// A short form of `npm run soak`, which takes ten minutes.
it('runs 20 s of submissions, watches and results without errors and with bounded memory', {
  timeout: 240_000,
}, async () => {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', join(root, 'bench', 'suites', 'soak.ts'), '--seconds', '20', '--rate', '100'],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 220_000,
    },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  const [code] = (await once(child, 'close')) as [number | null];
  expect(code, output).toBe(0);
  expect(output).toMatch(/soak: memory is flat after the warm-up, [1-9]\d* results, [1-9]\d* events/);
});
