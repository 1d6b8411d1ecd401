// Every kind of view: the same on all engines, names on engines, parts of a sequence, maps, a broadcast, dependencies.
// In the language of the cluster's first engine.
import assert from 'node:assert/strict';
import { dependency, py } from '@ipyparallel-js/client';
import { connect } from './shared/connect.js';

await using rc = await connect();
const languages = await Promise.all(rc.ids.map((id) => rc.engineLanguage(id)));
const [language] = languages;
const ids = rc.ids.filter((_, i) => languages[i] === language);
const python = language === 'python';

// A direct view: the same on each of its engines.
const all = rc.directView(ids);
const processes = python ? all.apply(py<number>('os.getpid')) : all.apply(() => process.pid);
console.log('processes', await processes.get());

// Names on the engines, whatever language they speak.
await all.push({ n: 6, words: ['a', 'b'] }).get();
assert.deepEqual(await all.get('n * 7'), Array(ids.length).fill(42));
await all.scatter('part', [1, 2, 3, 4, 5, 6, 7]).get();
console.log('parts', await all.pull('part').get());
assert.deepEqual(await all.gather('part').get(), [1, 2, 3, 4, 5, 6, 7]);

// A load-balanced view: whichever engine is free.
const view = rc.loadBalancedView({ targets: ids, label: 'views' });
const numbers = Array.from({ length: 100 }, (_, i) => i);
const chunks = { chunksize: 10 };
const squares = python
  ? view.map(py<number>`lambda x: x * x`, numbers, chunks)
  : view.map((x: number) => x * x, numbers, chunks);
assert.equal((await squares.get()).at(-1), 9801);

// An endless source: what is read and what is in flight is bounded, and leaving the loop ends it.
function* endless() {
  for (let i = 0; ; i++) yield i;
}
const bound = { maxOutstanding: 4 };
const lazy = python
  ? view.imap(py<number>`lambda x: x * x`, endless(), bound)
  : view.imap((x: number) => x * x, endless(), bound);
for await (const each of lazy) {
  if (each > 200) {
    console.log('the first square past 200 is', each);
    break;
  }
}

// A task after others, however they end.
const first = view.execute(python ? '1/0' : 'nothing.at.all');
const later = view.with({ after: dependency([first], { failure: true }), retries: 1 });
assert.equal((await later.execute('6 * 7').get()).text, '42');
await assert.rejects(first.get());

// One message for all engines.
const broadcast = rc.broadcastView(ids, { coalescing: true });
await broadcast.push({ settings: [1, 2] }).get();
assert.deepEqual(await broadcast.get('settings'), Array(ids.length).fill([1, 2]));
console.log('broadcast to', ids.length, 'engines');
