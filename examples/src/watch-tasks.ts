// Follows tasks as they happen: what the database has of them now, then what enters, changes and leaves.
import assert from 'node:assert/strict';
import { progress, untilDone } from '@ipyparallel-js/client';
import { lastValueFrom, tap } from 'rxjs';
import { connect } from './shared/connect.js';
import { sleep, submit } from './shared/work.js';

await using rc = await connect();
const tasks = await Promise.all([0.2, 0.4, 0.6].map((seconds) => submit(rc, sleep(seconds))));
const msgIds = tasks.flatMap((task) => task.msgIds);

const watch = rc.dbQuery({ msg_id: { $in: msgIds } }, ['completed', 'engine_uuid']).watch();

// As an Observable: every change, through operators, until all have ended.
const last = await lastValueFrom(
  watch.pipe(
    tap((event) => {
      if (event.type === 'snapshot') console.log(`${event.records.length} tasks are there`);
      else console.log(`${event.record.msg_id} ${event.type}: ${event.status}`);
    }),
    // A task that was just submitted may not be in the database yet.
    untilDone({ atLeast: msgIds.length }),
    progress(),
  ),
);
assert.deepEqual([last.total, last.done, last.completed], [3, 3, 3]);

// As an async iterable: a loop that is slow gets the latest state of each record, never a queue without end.
for await (const event of watch) {
  if (event.type !== 'snapshot') continue;
  assert.deepEqual(event.records.map(({ msg_id }) => msg_id).sort(), msgIds.toSorted());
  break;
}
