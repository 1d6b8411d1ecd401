import type { Cast } from './cast.js';

/** Who does not want to wait so long interrupts again, which ends the process at once. */
const TIMEOUT_MS = 15_000;

/** On a cluster that goes on: purges what the demonstration has finished there, and says what it leaves. */
export async function tidyUp({ rc, sessions }: Cast): Promise<void> {
  const mine = { client_uuid: { $in: sessions } };
  try {
    const finished = await rc.dbQuery(
      { ...mine, completed: { $ne: null } },
      { keys: 'msg_id', timeout: TIMEOUT_MS },
    );
    await rc.purgeResults(
      finished.map(({ msg_id }) => msg_id),
      { timeout: TIMEOUT_MS },
    );
    const left = await rc.dbQuery(mine, { keys: 'msg_id', timeout: TIMEOUT_MS });
    if (left.length > 0) console.log(`${left.length} tasks still run there; their records stay.`);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    console.log(`Records of finished tasks may stay there: ${reason}`);
  }
}
