import type { Cast } from './cast.js';

const TIMEOUT_MS = 2_000;

/** On a cluster that goes on: purges what the demonstration has finished there, and says what it leaves. */
export async function tidyUp(cast: Cast | undefined): Promise<void> {
  if (cast === undefined) return;
  const { rc, sessions } = cast;
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
  } catch {
    console.log('The hub does not answer; records of finished tasks may stay there.');
  }
}
