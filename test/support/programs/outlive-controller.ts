// A program that loses its controller: prints how each of its waits ends, and then ends by itself.
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '@ipyparallel-js/client';
import { filter, firstValueFrom } from 'rxjs';

const codeOf = (wait: PromiseLike<unknown>): Promise<string> =>
  Promise.resolve(wait).then(
    () => 'no error',
    (error: unknown) => String((error as { code?: unknown }).code ?? error),
  );

const rc = await Client.connect({ connectionFile: process.argv[2] ?? '', reconnectTimeout: 8_000 });
await rc.waitForEngines(1);
const ar = rc.directView(rc.ids[0] ?? 0).execute('import time; time.sleep(600)');
const balanced = rc.loadBalancedView().execute('import time; time.sleep(600)');
const followed = rc.getResult('not-yet');
void followed.wait();
// A task that was not sent fails with another code.
const submitted = [...ar.msgIds, ...balanced.msgIds];
while ((await rc.dbQuery({ msg_id: { $in: submitted } }, 'msg_id')).length < submitted.length)
  await sleep(50);
console.log('ready');
// reconnectTimeout starts when the client notices the disconnect, not when the test kills the controller.
await firstValueFrom(rc.connection$.pipe(filter(({ state }) => state === 'disconnected')));
const started = performance.now();
const timed = (wait: PromiseLike<unknown>): Promise<{ code: string; after: number }> =>
  codeOf(wait).then((code) => ({ code, after: performance.now() - started }));
const poll = new Promise((_, reject) => rc.dbQuery({}, 'queue').poll(50).subscribe({ error: reject }));
const [direct, queued, request, hasty, polled] = await Promise.all([
  timed(ar.get()),
  timed(balanced.get()),
  timed(rc.hubHistory()),
  timed(rc.dbQuery({}, { keys: 'queue', timeout: 1_000 })),
  timed(poll),
]);
const after = await timed(rc.loadBalancedView().execute('1').get());
const later = await timed(rc.dbQuery({}, { keys: 'queue', timeout: 1_000 }));
await rc.close();
console.log(JSON.stringify({ direct, queued, request, hasty, polled, after, later }));
