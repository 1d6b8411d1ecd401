// Lists all tasks that other clients started more than an hour ago.
import assert from 'node:assert/strict';
import { connect } from './shared/connect.js';
import { ENDED, sameCode, submit, waitUntilRecorded } from './shared/work.js';

await using rc = await connect();
const startedBefore = (time: Date) =>
  // The documentation of 2011 spells `$lt` as `$le`.
  rc.dbQuery({ started: { $lt: time }, client_uuid: { $ne: rc.session.session } }, [
    'client_uuid',
    'started',
  ]);

let time = new Date(Date.now() - 60 * 60 * 1000);
let old = await startedBefore(time);
if (old.length === 0) {
  console.log('no client was active more than an hour ago; listing the tasks of another client before now');
  await using otherClient = await connect();
  const tasks = [await submit(otherClient, sameCode('6 * 7')), await submit(rc, sameCode('7 * 6'))];
  for (const task of tasks) {
    await task.get();
    await waitUntilRecorded(rc, task, ENDED);
  }
  time = new Date(Date.now() + 1);
  old = await startedBefore(time);
}
console.log(old);

assert(old.length > 0);
assert(
  old.every(({ client_uuid, started }) => client_uuid !== rc.session.session && Number(started) < +time),
);
