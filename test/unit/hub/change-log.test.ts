import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ChangeLog } from '@ipyparallel-js/hub/internal';
import { expect, it } from 'vitest';
import { waitFor } from '../../support/wait-for.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

it.each([
  ['of new ids', (n: number) => `task ${n}`],
  ['of repeated ids', (n: number) => `task ${n % 4}`],
])('a log %s holds no more values than its entries', async (_, idOf) => {
  const log = new ChangeLog<Uint8Array>(4);
  collect();
  const before = process.memoryUsage().arrayBuffers;
  for (let seq = 1; seq <= 500; seq++) {
    log.add(seq, idOf(seq), new Uint8Array(100_000));
    log.trim();
  }
  // 500 ids take 50 MB; V8 releases them a moment after collection.
  const held = (): number => {
    collect();
    return process.memoryUsage().arrayBuffers - before;
  };
  await waitFor(() => held() < 5_000_000, {
    timeout: 30_000,
    what: () => `${held()} bytes to be given back`,
  });
  expect([...log.entriesAfter(0)].map(({ msgId }) => msgId)).toEqual([497, 498, 499, 500].map(idOf));
});
