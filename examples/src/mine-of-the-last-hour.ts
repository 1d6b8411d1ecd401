// Lists all tasks that this client started in the last hour.
import assert from 'node:assert/strict';
import { connect } from './shared/connect.js';
import { ENDED, sameCode, submit, waitUntilRecorded } from './shared/work.js';

await using rc = await connect();
const mine = await submit(rc, sameCode('6 * 7'));
await mine.get();
await waitUntilRecorded(rc, mine, ENDED);

const hourAgo = new Date(Date.now() - 60 * 60 * 1000);
const recent = await rc.dbQuery({ started: { $gte: hourAgo }, client_uuid: rc.session.session });
for (const { msg_id, started, execute_input } of recent) console.log(msg_id, started, execute_input);

assert.deepEqual(
  recent.map(({ msg_id }) => msg_id),
  mine.msgIds,
);
