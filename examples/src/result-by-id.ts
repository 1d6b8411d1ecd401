// The result of a task that somebody else has submitted: all it takes is the task's id.
import assert from 'node:assert/strict';
import { connect } from './shared/connect.js';
import { both, submit } from './shared/work.js';

await using somebody = await connect();
const [msgId = ''] = (await submit(somebody, both('[1, 2, 3]'))).msgIds;

await using rc = await connect();
const result = rc.getResult<{ text: string }>(msgId);
const { text } = await result.get({ timeout: 10_000 });
console.log(`${msgId}: ${text}`);

assert.match(text, /^\[ ?1, 2, 3 ?\]$/);
