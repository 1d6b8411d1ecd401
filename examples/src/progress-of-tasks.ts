// Shows functions with captures, an export of a module, progress and values of a running task, and an abort of a running
// task. Requires JavaScript engines.
import assert from 'node:assert/strict';
import { capture, fromModule, TaskAbortedError, task } from '@ipyparallel-js/client';
import { firstValueFrom } from 'rxjs';
import { connect } from './shared/connect.js';

await using rc = await connect();
const languages = await Promise.all(rc.ids.map((id) => rc.engineLanguage(id)));
if (!languages.includes('javascript')) {
  console.log('this cluster has no JavaScript engine');
  await rc.close();
  process.exit();
}
const view = rc.loadBalancedView();

// The client sends a function as its source; capture() adds the variables that it uses.
const factor = 3;
const square = (x: number): number => x * x;
const scaled = capture((x: number) => square(x) * factor, { square, factor });
assert.equal(await view.apply(scaled, 2).get(), 12);

// The values that a generator yields and publishes arrive while it runs.
const primesBelow = fromModule<typeof import('./shared/primes.js').primesBelow>(
  './shared/primes.js',
  'primesBelow',
  import.meta.url,
);
const primes = view.apply(primesBelow, 100_000);
primes.partials<number>().subscribe(({ index, value }) => {
  if (index % 2_000 === 0) console.log(`prime ${index + 1}: ${value}`);
});
await primes.get();
await primes.waitForOutput();
console.log('progress', primes.data[0]?.progress);
assert.deepEqual(primes.data[0]?.progress, { done: 100_000, total: 100_000 });

// An abort reaches a running task through its signal.
const endless = view.apply(
  capture(
    async () => {
      // A signal that is already aborted calls no listener, so the listener precedes the publication.
      const aborted = new Promise((_, reject) =>
        task.signal.addEventListener('abort', () => reject(task.signal.reason)),
      );
      task.publish({ state: 'waiting' });
      await aborted;
    },
    { task },
  ),
);
await firstValueFrom(endless.output$);
await endless.abort();
await assert.rejects(endless.get(), TaskAbortedError);
console.log('aborted while it ran');
