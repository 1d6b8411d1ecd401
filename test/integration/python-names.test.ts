// Each name of Python's API that docs/python-api.md lists as available has a proof, which must fail while the member is
// disabled.
import type { Client } from '@ipyparallel-js/client';
import { Cluster } from '@ipyparallel-js/cluster';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { prove } from '../support/documents/member-proof.js';
import { readApiTable } from '../support/documents/python-api-table.js';
import { mirrored } from '../support/suites/python-names/index.js';
import { ProofContext } from '../support/suites/python-names/proof-context.js';
import { waitFor } from '../support/wait-for.js';

const TIMEOUT = 30_000;
/** The timeout of the run with the disabled member, in which waits never end. */
const FAILING_TIMEOUT = 300;

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

// A new engine starts before any member is disabled, because a disabled member also affects the cluster's own clients.
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
    const contexts: ProofContext[] = [];
    const derived = name === 'AsyncResult';
    await prove(
      { owner, name: member, derived },
      async (touch) => {
        const context = new ProofContext(
          { cluster, rc, spareEngine },
          touch,
          contexts.length === 0 ? FAILING_TIMEOUT : TIMEOUT,
        );
        contexts.push(context);
        await proofs[python]?.(context);
      },
      { ended: async () => void (await Promise.all(contexts.map((context) => context.end()))) },
    );
  });
});
