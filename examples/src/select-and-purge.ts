// Selects the finished tasks of this client and purges them from the hub's database.
import assert from 'node:assert/strict';
import { connect } from './shared/connect.js';
import { ENDED, interrupt, sameCode, sleep, submit, waitUntilRecorded } from './shared/work.js';

await using rc = await connect();
for (const code of ['6 * 7', '7 * 8']) {
  const task = await submit(rc, sameCode(code));
  await task.get();
  await waitUntilRecorded(rc, task, ENDED);
}
const slow = await submit(rc, sleep(60));
await waitUntilRecorded(rc, slow);

const mine = { client_uuid: rc.session.session };
const finished = await rc.dbQuery({ ...mine, completed: { $ne: null } }, ['completed']);
console.log(`${(await rc.dbQuery(mine, 'msg_id')).length} tasks of this client`);
await rc.purgeResults(finished.map(({ msg_id }) => msg_id));
const left = await rc.dbQuery(mine, 'msg_id');
console.log(`${finished.length} purged, ${left.length} remaining`);

assert.deepEqual(
  left.map(({ msg_id }) => msg_id),
  slow.msgIds,
);
await interrupt(rc, slow);
