// Selects the failed tasks of this client, fixes the cause and resubmits them.
import assert from 'node:assert/strict';
import { connect } from './shared/connect.js';
import { ENDED, runOnEach, sameCode, submit, waitUntilRecorded } from './shared/work.js';

await using rc = await connect();
const price = `price_${Date.now()}`;
for (const factor of [2, 3]) {
  const task = await submit(rc, sameCode(`${factor} * ${price}`));
  await assert.rejects(task.get({ timeout: 60_000 }), /not defined/);
  await waitUntilRecorded(rc, task, ENDED);
}

const failed = await rc.dbQuery({ client_uuid: rc.session.session, 'result_content.status': 'error' }, [
  'execute_input',
  'result_content',
]);
for (const { execute_input, result_content } of failed) console.log(execute_input, result_content?.evalue);
await runOnEach(rc, rc.ids, `${price} = 21`);
const resubmitted = await rc.resubmit<{ text: string }>(failed.map(({ msg_id }) => msg_id));
const texts = (await resubmitted.get({ timeout: 60_000 })).map(({ text }) => text);
console.log(texts);

assert.deepEqual(texts, ['42', '63']);
