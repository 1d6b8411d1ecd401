// Reads the result of another client's task by its id.
import assert from 'node:assert/strict';
import { connect } from './shared/connect.js';
import { sameCode, submit, waitUntilRecorded } from './shared/work.js';

await using otherClient = await connect();
const task = await submit(otherClient, sameCode('[1, 2, 3]'));
await waitUntilRecorded(otherClient, task);
const [msgId = ''] = task.msgIds;

await using rc = await connect();
const result = rc.getResult<{ text: string }>(msgId);
const { text } = await result.get({ timeout: 60_000 });
console.log(`${msgId}: ${text}`);

assert.match(text, /^\[ ?1, 2, 3 ?\]$/);
