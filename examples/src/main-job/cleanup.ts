import type { Participants } from './participants.js';

/** The timeout of each request, in ms. A second interrupt ends the process without waiting. */
const TIMEOUT_MS = 15_000;

/** Purges the finished tasks of this program on a running cluster and reports the tasks that remain. */
export async function purgeFinishedTasks({ rc, sessions }: Participants): Promise<void> {
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
    const remaining = await rc.dbQuery(mine, { keys: 'msg_id', timeout: TIMEOUT_MS });
    if (remaining.length > 0)
      console.log(`${remaining.length} tasks are still running; their records remain in the database.`);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    console.log(`cannot purge the records of finished tasks: ${reason}`);
  }
}
