// The first program of docs/getting-started.md, on a Python cluster that it finds like a user's program.
import { rmSync } from 'node:fs';
import { expect, test } from 'vitest';
import { StockCluster } from '../support/clusters/stock-cluster.js';
import { codeDirectory, documentedCode, runBlock } from '../support/documents/documented-code.js';
import { cleanEnv } from '../support/environment.js';
import { describeStock } from '../support/python/describe-stock.js';

describeStock('9', 'the first program of docs/getting-started.md', () => {
  test('maps, watches, queries and ends without an error', async () => {
    const [program] = documentedCode().filter(({ file }) => file === 'docs/getting-started.md');
    expect(program?.code).toContain('Client.connect()');
    await using cluster = await StockCluster.start({ version: '9', engines: 2 });
    const directory = codeDirectory();
    try {
      const env = cleanEnv({ IPP_PROFILE_DIR: cluster.profileDir });
      const { code, lines, errors } = await runBlock(directory, program ?? expect.unreachable(), env);
      expect(errors).toBe('');
      expect(lines).toContain('[ 1, 4, 9 ]');
      expect(lines).toContain('0');
      expect(lines.some((line) => line.endsWith(' of 3'))).toBe(true);
      expect(code).toBe(0);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
