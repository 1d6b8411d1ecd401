// Each test of ipyparallel's client is a scenario in test/support/suites/scenarios, or is listed with a reason in
// docs/python-tests.md. This test compares both with the modules of the real package.
import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { describeStock } from '../support/python/describe-stock.js';
import { runPython } from '../support/python/python.js';

const modules = [
  'test_client',
  'test_view',
  'test_lbview',
  'test_view_broadcast',
  'test_asyncresult',
  'test_dependency',
  'test_label',
];

const script = `
  import ast, json, pathlib, sys
  import ipyparallel

  folder = pathlib.Path(ipyparallel.__file__).parent / 'tests'
  names = {}
  for module in sys.argv[1:]:
      tree = ast.parse((folder / (module + '.py')).read_text())
      names[module] = [n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name.startswith('test_')]
  print(json.dumps(names))
`;

const root = new URL('../../', import.meta.url);

/** The names in the titles of scenarios. */
function scenarioNames(): Set<string> {
  const folder = new URL('test/support/suites/scenarios/', root);
  const texts = readdirSync(folder).map((file) => readFileSync(new URL(file, folder), 'utf8'));
  const titles = texts.flatMap((text) => [...text.matchAll(/\btest\(\s*(['"`])(.*?)\1,/gs)]);
  return new Set(titles.flatMap(([, , title = '']) => title.match(/\btest_\w+/g) ?? []));
}

function leftOut(): Map<string, string> {
  const page = readFileSync(new URL('docs/python-tests.md', root), 'utf8');
  return new Map(
    [...page.matchAll(/^\| `(test_\w+)` \| (.+) \|$/gm)].map(([, name = '', why = '']) => [name, why]),
  );
}

describeStock('9', 'the tests of ipyparallel’s client', () => {
  it('are scenarios, or left out with a reason', async () => {
    const python = await runPython<Record<string, string[]>>('9', script, modules);
    const all = new Set(Object.values(python).flat());
    expect(all.size).toBeGreaterThan(150);
    const here = scenarioNames();
    const out = leftOut();
    expect([...all].filter((name) => !here.has(name) && !out.has(name))).toEqual([]);
    expect([...out.keys()].filter((name) => here.has(name) || !all.has(name))).toEqual([]);
    for (const why of out.values()) expect(why.length).toBeGreaterThan(10);
  });
});
