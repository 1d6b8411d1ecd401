import { parseArgs } from 'node:util';
import { Client } from '@ipyparallel-js/client';

/**
 * Connects to the cluster of the command line (`--connection-file FILE`, or `--profile NAME` and `--cluster-id ID`). Without
 * options it finds the cluster as Python's client does. Waits for the first engine.
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
