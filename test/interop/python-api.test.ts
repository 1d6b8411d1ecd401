// docs/python-api.md says where every public name of ipyparallel's client classes is. It is compared with the real
// classes on one side and with ours on the other, so it cannot drift from either.
import { readFileSync } from 'node:fs';
import { Cluster } from '@ipyparallel-js/cluster';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeStock } from '../support/describe-stock.js';
import { runPython } from '../support/python.js';

const script = `
  import json
  import ipyparallel as ipp
  from ipyparallel.client import asyncresult, view
  from traitlets import HasTraits

  def public(cls):
      names = {n for n in dir(cls) if not n.startswith('_')}
      if issubclass(cls, HasTraits):
          names |= {n for n in cls.class_trait_names() if not n.startswith('_')}
          own = {n for c in cls.__mro__ if c.__module__.startswith('ipyparallel') for n in c.__dict__}
          # What traitlets gives to every class is not ipyparallel's.
          names -= set(dir(HasTraits)) - own
      return sorted(names)

  result = asyncresult.AsyncResult
  assert public(asyncresult.AsyncMapResult) == public(asyncresult.AsyncHubResult) == public(result)
  classes = [ipp.Client, view.DirectView, view.LoadBalancedView, view.BroadcastView, result]
  print(json.dumps({c.__name__: public(c) for c in classes}))
`;

const root = new URL('../../', import.meta.url);
const names = ['Client', 'DirectView', 'LoadBalancedView', 'BroadcastView', 'AsyncResult'] as const;

interface Entry {
  readonly python: string;
  readonly here: string | undefined;
  /** The file with its test, or the reason for its absence. */
  readonly note: string;
}

function readTable(): Map<string, Entry[]> {
  const sections = readFileSync(new URL('docs/python-api.md', root), 'utf8').split(/^## /m).slice(1);
  return new Map(
    sections.map((section) => {
      const rows = [...section.matchAll(/^\| `(\w+)` \| (?:`(\w+)`|–) \| (.+) \|$/gm)];
      const entries = rows.map(([, python = '', here, note = '']) => ({ python, here, note }));
      return [section.slice(0, section.indexOf('\n')), entries];
    }),
  );
}

const table = readTable();

describeStock('9', 'the table of the Python API', () => {
  it('has every public name of the Python classes, and no others', async () => {
    const python = await runPython<Record<string, string[]>>('9', script);
    const listed = [...table].map(([name, entries]) => [name, entries.map((entry) => entry.python).sort()]);
    expect(Object.fromEntries(listed)).toEqual(python);
  });
});

describe('what is here', () => {
  let ours: Readonly<Record<string, object>> = {};
  let stop = async (): Promise<void> => undefined;

  beforeAll(async () => {
    const cluster = await Cluster.start({ n: 0 });
    const rc = await cluster.connect();
    ours = {
      Client: rc,
      DirectView: rc.directView('all'),
      LoadBalancedView: rc.loadBalancedView(),
      BroadcastView: rc.broadcastView('all'),
      AsyncResult: rc.getResult([]),
    };
    stop = async () => {
      await rc.close();
      await cluster.stop();
    };
  });
  afterAll(() => stop());

  describe.each(names)('%s', (name) => {
    const entries = table.get(name) ?? [];

    it('is in the table', () => {
      expect(entries.length).toBeGreaterThan(20);
    });

    it.each(entries.filter(({ here }) => here !== undefined))('$python is $here', ({ here = '', note }) => {
      const own = ours[name] ?? {};
      expect(here in own || here in own.constructor, `${name} has ${here}`).toBe(true);
      const file = /^`(test\/[\w./-]+)`$/.exec(note)?.[1] ?? '';
      expect(file, 'the file of its test').not.toBe('');
      const test = readFileSync(new URL(file, root), 'utf8');
      expect(test, `${file} uses ${here}`).toMatch(new RegExp(`\\.${here}\\b`));
    });

    it.each(entries.filter(({ here }) => here === undefined))('$python is left out: $note', ({ note }) => {
      expect(note.length).toBeGreaterThan(5);
    });
  });
});
