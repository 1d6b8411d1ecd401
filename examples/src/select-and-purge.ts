// Selects the tasks that are finished and purges them from the hub's database.
import assert from 'node:assert/strict';
import { connect } from './shared/connect.js';
import { both, ended, recorded, sleep, submit } from './shared/work.js';

await using rc = await connect();
for (const code of ['6 * 7', '7 * 8']) {
  const task = await submit(rc, both(code));
  await task.get();
  await recorded(rc, task, ended);
}
const slow = await submit(rc, sleep(2));
await recorded(rc, slow);

const mine = { client_uuid: rc.session.session };
const finished = await rc.dbQuery({ ...mine, completed: { $ne: null } }, ['completed']);
console.log(`${(await rc.dbQuery(mine, 'msg_id')).length} tasks of mine`);
await rc.purgeResults(finished.map(({ msg_id }) => msg_id));
const left = await rc.dbQuery(mine, 'msg_id');
console.log(`${finished.length} purged, ${left.length} left`);

assert.deepEqual(
  left.map(({ msg_id }) => msg_id),
  slow.msgIds,
);
await slow.get();
