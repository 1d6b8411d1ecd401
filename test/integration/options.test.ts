// A misspelt option must be an error in every method, and never a silent default.
import { AsyncResult, Client, dependency, fromModule, NdArray, untilDone } from '@ipyparallel-js/client';
import { Cluster } from '@ipyparallel-js/cluster';
import { Engine } from '@ipyparallel-js/engine';
import { Controller } from '@ipyparallel-js/hub';
import { afterAll, beforeAll, expect, test } from 'vitest';

let cluster: Cluster;
let rc: Client;

beforeAll(async () => {
  cluster = await Cluster.start({ n: 1 });
  rc = await cluster.connect();
});

afterAll(async () => {
  await rc?.close();
  await cluster?.stop();
});

/** Arguments that a caller without types may pass. */
// biome-ignore lint/suspicious/noExplicitAny: the compiler would refuse it, as it should
const wrong = (options: unknown): any => options;
const typo = wrong({ timeuot: 1 });
const unknownOption = /has no (option|flag) "timeuot"/;

const calls: Readonly<Record<string, (ar: AsyncResult<unknown[]>) => unknown>> = {
  'Client.connect': () => Client.connect(typo),
  resultCache: () => Client.connect({ resultCache: typo }),
  pickleLimits: () => Client.connect({ pickleLimits: typo }),
  'Cluster.start': () => Cluster.start(typo),
  'cluster.connect': () => cluster.connect(typo),
  startEngines: () => cluster.startEngines(0, typo),
  restartController: () => cluster.restartController(typo),
  'Engine.start': () => Engine.start(typo),
  'Controller.start': () => Controller.start(typo),
  'Task Database': () => Controller.start({ db: { type: 'memory', ...typo } }),
  waitForEngines: () => rc.waitForEngines(1, typo),
  dbQuery: () => rc.dbQuery({}, typo),
  watch: () => rc.dbQuery({}).watch(typo),
  untilDone: () => untilDone(typo),
  'dbQuery.wait': () => rc.dbQuery({}).wait(typo),
  'dbQuery.resubmit': () => rc.dbQuery({}).resubmit(typo),
  'dbQuery.purge': () => rc.dbQuery({}).purge(typo),
  attach: () => rc.attach('{}', typo),
  'rc.wait': () => rc.wait(undefined, typo),
  'rc.waitInteractive': () => rc.waitInteractive(undefined, typo),
  resultStatus: () => rc.resultStatus([], typo),
  queueStatus: () => rc.queueStatus('all', typo),
  hubHistory: () => rc.hubHistory(typo),
  resubmit: () => rc.resubmit([], typo),
  purgeResults: () => rc.purgeResults([], typo),
  purgeEverything: () => rc.purgeEverything(typo),
  purgeLocalResults: () => rc.purgeLocalResults([], typo),
  abort: () => rc.abort([], typo),
  'abort of all': () => rc.abort('all', typo),
  clear: () => rc.clear(typo),
  sendSignal: () => rc.sendSignal('SIGINT', typo),
  shutdown: () => rc.shutdown(typo),
  directView: () => rc.directView('all', typo),
  broadcastView: () => rc.broadcastView('all', typo),
  loadBalancedView: () => rc.loadBalancedView(typo),
  with: () => rc.loadBalancedView().with(typo),
  setFlags: () => rc.loadBalancedView().setFlags(typo),
  remote: () => rc.loadBalancedView().remote(() => 1, typo),
  execute: () => rc.directView().execute('1', typo),
  'execute of a broadcast': () => rc.broadcastView().execute('1', typo),
  run: () => rc.directView().run(new URL(import.meta.url), typo),
  map: () => rc.loadBalancedView().map((n: number) => n, [1], typo),
  imap: () => rc.loadBalancedView().imap((n: number) => n, [1], typo),
  parallel: () => rc.directView().parallel((part: number[]) => part, typo),
  scatter: () => rc.directView().scatter('x', [1], typo),
  gather: () => rc.directView().gather('x', typo),
  'view.wait': () => rc.directView().wait(undefined, typo),
  'view.abort': () => rc.directView().abort(undefined, typo),
  'view.clear': () => rc.directView().clear(typo),
  'view.queueStatus': () => rc.directView().queueStatus(typo),
  'view.purgeResults': () => rc.directView().purgeResults([], typo),
  'view.shutdown': () => rc.directView().shutdown(typo),
  'executor.shutdown': () => rc.executor().shutdown(typo),
  dependency: () => dependency('id', typo),
  get: (ar) => ar.get(typo),
  result: (ar) => ar.result(typo),
  exception: (ar) => ar.exception(typo),
  settled: (ar) => ar.settled(typo),
  getDict: (ar) => ar.getDict(typo),
  wait: (ar) => ar.wait(typo),
  waitInteractive: (ar) => ar.waitInteractive(typo),
  inOrder: (ar) => ar.inOrder(typo),
  asCompleted: (ar) => ar.asCompleted(typo),
  asSettled: (ar) => ar.asSettled(typo),
  waitForOutput: (ar) => ar.waitForOutput(typo),
  'ar.abort': (ar) => ar.abort(typo),
  timedelta: (ar) => ar.timedelta('submitted', 'received', typo),
  displayOutputs: (ar) => ar.displayOutputs(typo),
  streamOutput: (ar) => ar.streamOutput(typo),
  NdArray: () => new NdArray(Float64Array.of(1), typo),
};

test.each(Object.keys(calls))('%s refuses an unknown option', async (name) => {
  const ar = AsyncResult.join(rc.directView().map((n: number) => n, [1]));
  const call = async () => await calls[name]?.(ar);
  await expect(call()).rejects.toThrow(unknownOption);
  await expect(call()).rejects.toMatchObject({ code: 'USAGE' });
});

test('the error names the nearest valid option, or all options', async () => {
  const ar = rc.directView().apply(() => 1);
  await expect(ar.get(typo)).rejects.toThrow('get has no option "timeuot", did you mean "timeout"?');
  await expect(ar.wait(wrong({ zzzzzz: 1 }))).rejects.toThrow(
    'wait has no option "zzzzzz"; its options are timeout, signal, returnWhen',
  );
  expect(() => rc.loadBalancedView(wrong({ retires: 1 }))).toThrow('did you mean "retries"?');
});

test('options must be an object: a bare timeout is refused', async () => {
  const ar = rc.directView().apply(() => 1);
  await expect(ar.get(wrong(500))).rejects.toThrow(
    'options of get must be an object such as { timeout: … }, got 500',
  );
  await expect(ar.wait(wrong(null))).rejects.toThrow('got null');
  expect(await ar.get()).toEqual([1]);
});

test('a value that JSON cannot express is refused with a UsageError that describes it', async () => {
  const view = rc.directView();
  const ar = view.apply(() => 1);
  const cyclic: Record<string, unknown> = {};
  cyclic['self'] = cyclic;
  const refusals: [() => unknown, string][] = [
    [() => rc.loadBalancedView(wrong({ label: 5n })), 'label must be a string, got a bigint'],
    [() => rc.loadBalancedView(wrong({ retries: cyclic })), 'retries must be an integer >= 0, got an object'],
    [
      () => view.map((n: number) => n, [1], wrong({ dist: 5n })),
      "dist must be 'block' or 'roundRobin', got a bigint",
    ],
    [() => rc.loadBalancedView({ targets: wrong(5n) }), 'got a bigint'],
    [
      () => ar.displayOutputs({ groupBy: wrong(cyclic) }),
      "groupBy must be 'type', 'engine' or 'order', got an object",
    ],
    [
      () => Cluster.start({ controller: wrong(5n) }),
      "controller must be 'embedded' or 'python', got a bigint",
    ],
    [() => rc.attach(wrong({ type: cyclic })), 'got an object'],
    [() => fromModule(wrong('./work.js'), wrong(5n)), 'must be a non-empty string, got a bigint'],
  ];
  for (const [call, text] of refusals) {
    const error = await Promise.resolve()
      .then(call)
      .catch((thrown: unknown) => thrown);
    expect(error, text).toMatchObject({ code: 'USAGE', message: expect.stringContaining(text) });
  }
  expect(await ar.get()).toEqual([1]);
});

test('map refuses the options of imap, which would have no effect', () => {
  const view = rc.loadBalancedView();
  expect(() => view.map((n: number) => n, [1], wrong({ maxOutstanding: 2 }))).toThrow('maxOutstanding');
  expect(() => view.imap((n: number) => n, [1], wrong({ dist: 'block' }))).toThrow('dist');
});

test('options of a query are refused by the actions on its matches', async () => {
  const selection = rc.dbQuery(
    { msg_id: 'nothing' },
    { keys: 'label', sort: { submitted: 1 }, timeout: 30_000 },
  );
  expect(await selection.purge({ dryRun: true })).toMatchObject({ count: 0 });
  expect((await selection.resubmit()).msgIds).toEqual([]);
});

test('dependencyTimeout and its alias timeout are checked in the same way, wherever they are given', () => {
  const view = rc.loadBalancedView();
  for (const flags of [{ dependencyTimeout: -1 }, { timeout: -1 }]) {
    expect(() => view.with(flags)).toThrow(
      /^dependencyTimeout must be a number of milliseconds >= 0, got -1/,
    );
    expect(() => view.setFlags(flags)).toThrow(/^dependencyTimeout must be/);
    expect(() => view.remote(() => 1, flags)).toThrow(/^dependencyTimeout must be/);
  }
  expect(() => view.with({ dependencyTimeout: 1, timeout: 2 })).toThrow(/not both/);
  expect(view.with({ timeout: 5 }).dependencyTimeout).toBe(5);
  expect(view.with({ dependencyTimeout: 5 }).timeout).toBe(5);
});
