// All tasks that are not completed: their ids and when they began.
import assert from 'node:assert/strict';
import { connect } from './shared/connect.js';
import { recorded, sleep, submit } from './shared/work.js';

await using rc = await connect();
const slow = await submit(rc, sleep(2));
await recorded(rc, slow);

// The documentation of 2011 asks for `complete`. No record has that key, and dbQuery says so before it asks the hub.
assert.throws(() => rc.dbQuery({ complete: null } as object), /did you mean "completed"/);

const incomplete = await rc.dbQuery({ completed: null }, ['msg_id', 'started']);
console.log(incomplete);

assert(incomplete.some(({ msg_id }) => slow.msgIds.includes(msg_id)));
await slow.get();
