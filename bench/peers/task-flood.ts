import { Client } from '@ipyparallel-js/client';
import { RawClient } from '../../test/support/fakes/raw-client.js';
import { RawEngine } from '../../test/support/fakes/raw-engine.js';
import { waitFor } from '../../test/support/wait-for.js';

/** A hub that keeps engines registered without heartbeats. */
export interface FloodTarget {
  readonly connectionFile: string;
  readonly engineConnectionFile: string;
}

/**
 * Sends `tasks` direct tasks at once and measures how long the hub takes to record them all, in ms. Their engine has
 * registered and disconnected, so only the controller does any work.
 */
export async function floodWithTasks(target: FloodTarget, tasks: number): Promise<number> {
  await using rc = await Client.connect({
    connectionFile: target.connectionFile,
    requestTimeout: 300_000,
  });
  const engine = await RawEngine.start(target.engineConnectionFile);
  try {
    await rc.waitForEngines(1, { timeout: 30_000 });
  } finally {
    engine.close();
  }
  await using sender = RawClient.fromFile(target.connectionFile);
  const messages = Array.from({ length: tasks }, (_, i) => {
    const code = `result = simulate(step=${i}, seed=${(i * 7919) % 1_000_000})\nprint(result.summary())`;
    const content = { code, silent: false, user_expressions: {} };
    return sender.session.encode(sender.session.rawMessage('execute_request', content), [engine.uuid]);
  });
  const queued = async (): Promise<number> => (await rc.queueStatus()).engines[engine.id]?.queue ?? 0;
  const start = performance.now();
  for (const frames of messages) sender.sendFrames('mux', frames);
  await waitFor(async () => (await queued()) >= tasks || undefined, {
    timeout: 300_000,
    what: `the hub to record ${tasks} tasks`,
  });
  return performance.now() - start;
}
