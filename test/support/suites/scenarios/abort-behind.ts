import type { Gate } from '../../gate.js';
import type { ScenarioCluster } from './scenario-cluster.js';

/**
 * Opens the gate of a running task once the abort of tasks behind it has reached the engines, and waits for the abort. The task at
 * the gate must have begun before the others were submitted, because engines before 9 run what they received earlier.
 */
export async function abortBehind(
  { rc, version }: ScenarioCluster,
  gate: Gate,
  aborting: Promise<unknown>,
): Promise<void> {
  try {
    if (version === '9') await aborting;
    // Engines before 9 reply to an abort only between two tasks. Their nanny relays the abort and then replies itself to the
    // signal 0, which does nothing.
    else await Promise.race([rc.sendSignal(0, { timeout: 60_000 }), aborting.then(() => undefined)]);
  } finally {
    gate.open();
  }
  await aborting;
}
