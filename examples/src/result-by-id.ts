// Reads the result of another client's task by its id.
import assert from 'node:assert/strict';
import { connect } from './shared/connect.js';
import { sameCode, submit } from './shared/work.js';

await using otherClient = await connect();
const [msgId = ''] = (await submit(otherClient, sameCode('[1, 2, 3]'))).msgIds;

await using rc = await connect();
const result = rc.getResult<{ text: string }>(msgId);
const { text } = await result.get({ timeout: 10_000 });
console.log(`${msgId}: ${text}`);

assert.match(text, /^\[ ?1, 2, 3 ?\]$/);
