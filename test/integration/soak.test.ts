import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it } from 'vitest';

import { root } from '../support/repository.js';

// The short form of `npm run soak`: ten minutes of it are no test's affair.
it('half a minute of submissions, watches and results goes right, and memory is bounded', {
  timeout: 240_000,
}, async () => {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', join(root, 'bench', 'soak.ts'), '--seconds', '20', '--rate', '100'],
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
  expect(output).toMatch(/soak: flat after the warm-up, [1-9]\d* results, [1-9]\d* events/);
});
