// Scenarios of ipyparallel's test_dependency.py. The scheduler decides whether a Dependency is met or unreachable, so tasks
// wait for others that succeeded and failed.
import { type AsyncResult, Dependency, depend, py, requireModules, UsageError } from '@ipyparallel-js/client';
import { expect, test } from 'vitest';
import type { ScenarioCluster } from './scenario-cluster.js';

const RESULT_TIMEOUT = { timeout: 60_000 };
const one = py<number>`lambda: 1`;
const fail = py<null>`lambda: 1 / 0`;

export function dependencyScenarios(cluster: () => ScenarioCluster): void {
  const ended = async (): Promise<{ good: AsyncResult<number>; bad: AsyncResult<null> }> => {
    const view = cluster().rc.loadBalancedView();
    const good = view.apply(one);
    const bad = view.apply(fail);
    await good.wait(RESULT_TIMEOUT);
    await bad.wait(RESULT_TIMEOUT);
    return { good, bad };
  };

  /** `met` or `unreachable`. */
  const statusOf = async (dependency: Dependency): Promise<string> => {
    const [end] = await cluster()
      .rc.loadBalancedView({ after: dependency })
      .apply(one)
      .settled(RESULT_TIMEOUT);
    if (end?.status === 'fulfilled') return 'met';
    expect(end?.reason).toMatchObject({ ename: 'ImpossibleDependency' });
    return 'unreachable';
  };

  test('test_success_only', async () => {
    const { good, bad } = await ended();
    expect(await statusOf(new Dependency([good, bad]))).toBe('unreachable');
    expect(await statusOf(new Dependency([good, bad], { all: false }))).toBe('met');
    expect(await statusOf(new Dependency(good))).toBe('met');
    expect(await statusOf(new Dependency(good, { all: false }))).toBe('met');
  });

  test('test_failure_only', async () => {
    const { good, bad } = await ended();
    const onlyFailures = { success: false, failure: true };
    expect(await statusOf(new Dependency([good, bad], onlyFailures))).toBe('unreachable');
    expect(await statusOf(new Dependency([good, bad], { ...onlyFailures, all: false }))).toBe('met');
    expect(await statusOf(new Dependency(good, onlyFailures))).toBe('unreachable');
    expect(await statusOf(new Dependency(bad, onlyFailures))).toBe('met');
    expect(await statusOf(new Dependency([good, bad], { failure: true }))).toBe('met');
    expect(() => new Dependency(good, { success: false })).toThrow(UsageError);
  });

  test('test_require_imports: a function runs where a module can be imported', async () => {
    const { rc } = cluster();
    const encode = py<string>`lambda text: __import__('base64').b64encode(text.encode()).decode()`;
    const ar = rc.loadBalancedView().apply(requireModules('base64')(encode), 'foo');
    expect(await ar.get(RESULT_TIMEOUT)).toBe('Zm9v');
    // A stock scheduler notices that no engine is left only when a timeout makes it check.
    const stock = cluster().controller === 'stock';
    const limited = rc.loadBalancedView(stock ? { timeout: 500 } : {});
    const nowhere = limited.apply(requireModules('no_such_module_at_all')(encode), 'foo');
    await expect(nowhere.get(RESULT_TIMEOUT)).rejects.toMatchObject({
      ename: stock ? 'TaskTimeout' : 'ImpossibleDependency',
    });
  });

  test('test_require_function, test_require_object: a function finds an object pushed under its name', async () => {
    const { rc } = cluster();
    await rc.clear(RESULT_TIMEOUT);
    const calls = py<number>`lambda a: func(a)`;
    await expect(rc.loadBalancedView().apply(calls, 5).get(RESULT_TIMEOUT)).rejects.toMatchObject({
      ename: 'NameError',
    });
    await rc.directView('all').push({ func: py`lambda x: x * x` }).get(RESULT_TIMEOUT);
    expect(await rc.loadBalancedView().apply(calls, 5).get(RESULT_TIMEOUT)).toBe(25);
  });

  test('a functional dependency passes a task on until an engine fits', async () => {
    const { rc } = cluster();
    await rc
      .directView('all')
      .scatter('place', [...rc.ids], { flatten: true })
      .get(RESULT_TIMEOUT);
    const last = rc.ids.at(-1) ?? Number.NaN;
    const here = depend(py(`lambda: place == ${last}`))(py<number>`lambda: place`);
    expect(await rc.loadBalancedView().apply(here).get(RESULT_TIMEOUT)).toBe(last);
  });
}
