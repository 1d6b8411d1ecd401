// Every name of Python's API that docs/python-api.md says is here does what it says: each has a proof, which has to fail
// when the member is out of order.
import type { Client } from '@ipyparallel-js/client';
import { Cluster } from '@ipyparallel-js/cluster';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { prove } from '../support/documents/member-proof.js';
import { readApiTable } from '../support/documents/python-api-table.js';
import { Ground } from '../support/suites/python-names/ground.js';
import { mirrored } from '../support/suites/python-names/index.js';
import { waitFor } from '../support/wait-for.js';

const PATIENCE = 30_000;
/** While the member is out of order: what waits for it waits in vain. */
const IMPATIENCE = 300;

let cluster: Cluster;
let rc: Client;
let spareEngine = -1;

beforeAll(async () => {
  cluster = await Cluster.start({ n: 2 });
  rc = await cluster.connect();
});
afterAll(async () => {
  await rc?.close();
  await cluster?.stop();
});

// Before any member is out of order: a cluster's own clients would be, too.
beforeEach(async () => {
  if (rc.ids.includes(spareEngine)) return;
  [spareEngine = -1] = await cluster.startEngines(1);
  await waitFor(() => rc.ids.includes(spareEngine));
});

describe.each([...readApiTable()].filter(([name]) => name in mirrored))('%s', (name, entries) => {
  const { owner, proofs } = mirrored[name] ?? { owner: Object, proofs: {} };
  const here = entries.filter((entry) => entry.here !== undefined);

  test('has a proof for each of its names, and no others', () => {
    expect(Object.keys(proofs).sort()).toEqual(here.map(({ python }) => python).sort());
  });

  test.each(here)('$python is $here', async ({ python, here: member = '' }) => {
    const grounds: Ground[] = [];
    const derived = name === 'AsyncResult';
    await prove(
      { owner, name: member, derived },
      async (touch) => {
        const ground = new Ground(
          { cluster, rc, spareEngine },
          touch,
          grounds.length === 0 ? IMPATIENCE : PATIENCE,
        );
        grounds.push(ground);
        await proofs[python]?.(ground);
      },
      { ended: async () => void (await Promise.all(grounds.map((ground) => ground.end()))) },
    );
  });
});
