// All tasks that clients other than me have started more than an hour ago.
import assert from 'node:assert/strict';
import { connect } from './shared/connect.js';
import { both, ended, recorded, submit } from './shared/work.js';

await using rc = await connect();
const startedBefore = (time: Date) =>
  // `$lt` is what the documentation of 2011 spells `$le`.
  rc.dbQuery({ started: { $lt: time }, client_uuid: { $ne: rc.session.session } }, [
    'client_uuid',
    'started',
  ]);

let time = new Date(Date.now() - 60 * 60 * 1000);
let old = await startedBefore(time);
if (old.length === 0) {
  console.log('nobody was here more than an hour ago: let somebody come, and ask for what was before now');
  await using somebody = await connect();
  const tasks = [await submit(somebody, both('6 * 7')), await submit(rc, both('7 * 6'))];
  for (const task of tasks) {
    await task.get();
    await recorded(rc, task, ended);
  }
  time = new Date(Date.now() + 1);
  old = await startedBefore(time);
}
console.log(old);

assert(old.length > 0);
assert(
  old.every(({ client_uuid, started }) => client_uuid !== rc.session.session && Number(started) < +time),
);
