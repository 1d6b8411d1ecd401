// Uses every kind of view: a call on all engines, names on engines, parts of a sequence, maps, a broadcast and
// dependencies. Uses the language of the cluster's first engine.
import assert from 'node:assert/strict';
import { dependency, py } from '@ipyparallel-js/client';
import { connect } from './shared/connect.js';

await using rc = await connect();
const languages = await Promise.all(rc.ids.map((id) => rc.engineLanguage(id)));
const [language] = languages;
const ids = rc.ids.filter((_, i) => languages[i] === language);
const python = language === 'python';

// A direct view runs the call on each of its engines.
const all = rc.directView(ids);
const processes = python ? all.apply(py<number>('os.getpid')) : all.apply(() => process.pid);
console.log('processes', await processes.get());

// Names on the engines, in any language.
await all.push({ n: 6, words: ['a', 'b'] }).get();
assert.deepEqual(await all.get('n * 7'), Array(ids.length).fill(42));
await all.scatter('part', [1, 2, 3, 4, 5, 6, 7]).get();
console.log('parts', await all.pull('part').get());
assert.deepEqual(await all.gather('part').get(), [1, 2, 3, 4, 5, 6, 7]);

// A load-balanced view runs each task on an idle engine.
const view = rc.loadBalancedView({ targets: ids, label: 'views' });
const numbers = Array.from({ length: 100 }, (_, i) => i);
const chunks = { chunksize: 10 };
const squares = python
  ? view.map(py<number>`lambda x: x * x`, numbers, chunks)
  : view.map((x: number) => x * x, numbers, chunks);
assert.equal((await squares.get()).at(-1), 9801);

// An endless source: the number of elements that are read ahead and in flight is limited; the end of the loop ends the map.
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

// A task that runs after another one has failed.
const first = view.execute(python ? '1/0' : 'nothing.at.all');
const later = view.with({ after: dependency([first], { failure: true }), retries: 1 });
assert.equal((await later.execute('6 * 7').get()).text, '42');
await assert.rejects(first.get());

// A broadcast sends one message for all engines.
const broadcast = rc.broadcastView(ids, { coalescing: true });
await broadcast.push({ settings: [1, 2] }).get();
assert.deepEqual(await broadcast.get('settings'), Array(ids.length).fill([1, 2]));
console.log('broadcast to', ids.length, 'engines');
