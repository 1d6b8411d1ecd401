// Lists the result headers of all tasks that ran on engine 3 or 4.
import assert from 'node:assert/strict';
import { connect } from './shared/connect.js';
import { ENDED, waitUntilRecorded } from './shared/work.js';

await using rc = await connect();
const selected = [3, 4].every((id) => rc.engines.has(id)) ? [3, 4] : rc.ids.slice(-2);
console.log(`selected the engines ${selected.join(' and ')} of ${rc.ids.join(', ')}`);
for (const id of selected) {
  const task = rc.directView(id).execute('6 * 7');
  await task.get();
  await waitUntilRecorded(rc, task, ENDED);
}

const uuids = selected.map((id) => rc.engines.get(id));
const history = await rc.dbQuery({ engine_uuid: { $in: uuids } }, 'result_header');
for (const { msg_id, result_header } of history) console.log(msg_id, result_header);

assert(history.length >= selected.length);
assert(history.every(({ result_header }) => result_header !== null));
