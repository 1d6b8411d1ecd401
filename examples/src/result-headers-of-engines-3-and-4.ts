// The result headers of all tasks that ran on engine 3 or 4.
import assert from 'node:assert/strict';
import { connect } from './shared/connect.js';
import { ended, recorded } from './shared/work.js';

await using rc = await connect();
const wanted = [3, 4].every((id) => rc.engines.has(id)) ? [3, 4] : rc.ids.slice(-2);
console.log(`of the engines ${rc.ids.join(', ')}, those with the ids ${wanted.join(' and ')}`);
for (const id of wanted) {
  const task = rc.directView(id).execute('6 * 7');
  await task.get();
  await recorded(rc, task, ended);
}

const uuids = wanted.map((id) => rc.engines.get(id));
const history = await rc.dbQuery({ engine_uuid: { $in: uuids } }, 'result_header');
for (const { msg_id, result_header } of history) console.log(msg_id, result_header);

assert(history.length >= wanted.length);
assert(history.every(({ result_header }) => result_header !== null));
