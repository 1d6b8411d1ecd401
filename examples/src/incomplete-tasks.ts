// Lists the ids and start times of all incomplete tasks.
import assert from 'node:assert/strict';
import { connect } from './shared/connect.js';
import { interrupt, sleep, submit, waitUntilRecorded } from './shared/work.js';

await using rc = await connect();
const slow = await submit(rc, sleep(60));
await waitUntilRecorded(rc, slow);

// The documentation of 2011 queries `complete`. No record has that key, so dbQuery throws before it sends the query.
assert.throws(() => rc.dbQuery({ complete: null } as object), /did you mean "completed"/);

const incomplete = await rc.dbQuery({ completed: null }, ['msg_id', 'started']);
console.log(incomplete);

assert(incomplete.some(({ msg_id }) => slow.msgIds.includes(msg_id)));
await interrupt(rc, slow);
