import { parseArgs } from 'node:util';
import { Client } from '@ipyparallel-js/client';

/**
 * Connects to the cluster that the command line names (`--connection-file FILE`, or `--profile NAME` and
 * `--cluster-id ID`); without either to the one that Python's client would find. Waits for its first engine.
 */
export async function connect(): Promise<Client> {
  const { values } = parseArgs({
    options: {
      'connection-file': { type: 'string' },
      profile: { type: 'string' },
      'cluster-id': { type: 'string' },
    },
  });
  const { 'connection-file': connectionFile, profile, 'cluster-id': clusterId } = values;
  const rc = await Client.connect({
    ...(connectionFile === undefined ? {} : { connectionFile }),
    ...(profile === undefined ? {} : { profile }),
    ...(clusterId === undefined ? {} : { clusterId }),
  });
  await rc.waitForEngines(1);
  return rc;
}
