// Watches tasks: a snapshot of the database, then each record that enters, changes or leaves.
import assert from 'node:assert/strict';
import { progress, untilDone } from '@ipyparallel-js/client';
import { lastValueFrom, tap } from 'rxjs';
import { connect } from './shared/connect.js';
import { sleep, submit } from './shared/work.js';

await using rc = await connect();
const tasks = await Promise.all([0.2, 0.4, 0.6].map((seconds) => submit(rc, sleep(seconds))));
const msgIds = tasks.flatMap((task) => task.msgIds);

const watch = rc.dbQuery({ msg_id: { $in: msgIds } }, ['completed', 'engine_uuid']).watch();

// As an Observable: every change, until all tasks have ended.
const last = await lastValueFrom(
  watch.pipe(
    tap((event) => {
      if (event.type === 'snapshot') console.log(`the snapshot has ${event.records.length} tasks`);
      else console.log(`${event.record.msg_id} ${event.type}: ${event.status}`);
    }),
    // The database may not contain a task yet that was just submitted.
    untilDone({ atLeast: msgIds.length }),
    progress(),
  ),
);
assert.deepEqual([last.total, last.done, last.completed], [3, 3, 3]);

// As an async iterable: a slow loop receives the latest state of each record instead of an unbounded queue.
for await (const event of watch) {
  if (event.type !== 'snapshot') continue;
  assert.deepEqual(event.records.map(({ msg_id }) => msg_id).sort(), msgIds.toSorted());
  break;
}
