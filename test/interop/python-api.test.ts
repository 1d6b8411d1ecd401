// docs/python-api.md maps every public name of ipyparallel's client classes and every parameter of their methods. This test
// compares it with the real classes, and test/unit/repository/python-api.test.ts with ours.
import { expect, it } from 'vitest';
import { parametersOf, readApiTable } from '../support/documents/python-api-table.js';
import { describeStock } from '../support/python/describe-stock.js';
import { runPython } from '../support/python/python.js';

const script = `
  import inspect, json
  import ipyparallel as ipp
  from ipyparallel.client import asyncresult, view
  from traitlets import HasTraits

  def public(cls):
      names = {n for n in dir(cls) if not n.startswith('_')}
      if issubclass(cls, HasTraits):
          names |= {n for n in cls.class_trait_names() if not n.startswith('_')}
          own = {n for c in cls.__mro__ if c.__module__.startswith('ipyparallel') for n in c.__dict__}
          # traitlets adds these names to every class.
          names -= set(dir(HasTraits)) - own
      return sorted(names)

  def parameters(cls, name):
      method = getattr(cls, name, None)
      if not inspect.isfunction(method):
          return []
      return [p for p in inspect.signature(method).parameters if p != 'self']

  def described(cls):
      return {name: parameters(cls, name) for name in public(cls)}

  result = asyncresult.AsyncResult
  for other in (asyncresult.AsyncMapResult, asyncresult.AsyncHubResult):
      assert described(other) == described(result)
  classes = [ipp.Client, view.DirectView, view.LoadBalancedView, view.BroadcastView, result]
  print(json.dumps({c.__name__: described(c) for c in classes}))
`;

describeStock('9', 'the table of the Python API', () => {
  it('has every public name of the Python classes with its parameters, and no others', async () => {
    const python = await runPython<Record<string, Record<string, string[]>>>('9', script);
    const table = readApiTable();
    expect([...table.keys()]).toEqual(Object.keys(python));
    for (const [name, methods] of Object.entries(python)) {
      const entries = table.get(name) ?? [];
      expect(entries.map((entry) => entry.python).sort(), name).toEqual(Object.keys(methods).sort());
      const here = entries.filter((entry) => entry.here !== undefined);
      const listed = here.map((entry) => [entry.python, parametersOf(entry).map((each) => each.python)]);
      const real = here.map((entry) => [entry.python, methods[entry.python]]);
      expect(listed, name).toEqual(real);
    }
  });
});
