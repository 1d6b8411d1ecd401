// Polls the database every 100 ms until all tasks are completed.
import assert from 'node:assert/strict';
import { lastValueFrom, takeWhile, tap } from 'rxjs';
import { connect } from './shared/connect.js';
import { sleep, submit } from './shared/work.js';

await using rc = await connect();
const tasks = await Promise.all([0.2, 0.4, 0.6, 0.8].map((seconds) => submit(rc, sleep(seconds))));
const msgIds = tasks.flatMap((task) => task.msgIds);

const completed = rc.dbQuery({ msg_id: { $in: msgIds }, completed: { $ne: null } }, 'completed').poll(100);
const last = await lastValueFrom(
  completed.pipe(
    tap(({ length }) => console.log(`${length} of ${msgIds.length} completed`)),
    takeWhile(({ length }) => length < msgIds.length, true),
  ),
);

assert.deepEqual(last.map(({ msg_id }) => msg_id).sort(), msgIds.toSorted());
