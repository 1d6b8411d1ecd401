// Streams all records of a hub repeatedly; argv[2] is the connection file. Notifies the parent of the first record and of
// each completed query.
import { Client } from '@ipyparallel-js/client';

process.on('disconnect', () => process.exit(0));
const rc = await Client.connect({ connectionFile: process.argv[2], requestTimeout: 600_000 });
for (let first = true; ; ) {
  let records = 0;
  for await (const _record of rc.dbQuery({}).stream()) {
    if (first) process.send?.({ started: true });
    first = false;
    records++;
  }
  process.send?.({ records });
}
