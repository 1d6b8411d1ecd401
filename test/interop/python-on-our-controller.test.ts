// Unmodified Python clients and engines on our controller.
import { Client } from '@ipyparallel-js/client';
import { expect, test } from 'vitest';
import { OurController } from '../support/clusters/our-controller.js';
import { StockCluster, stockVersions } from '../support/clusters/stock-cluster.js';
import { describeStock } from '../support/python/describe-stock.js';

const prelude = `
import sys, os, json, time, signal
import ipyparallel as ipp
from subscribed import wait_until_subscribed
from datetime import datetime, timedelta, timezone
from operator import mul, truediv
# ipyparallel 7.1 cannot send functions of Python 3.11; builtins are sent by name.
sends_functions = ipp.version_info >= (8,)
rc = ipp.Client(sys.argv[1], timeout=60)
rc.wait_for_engines(int(os.environ.get('ENGINES', '2')), timeout=120)
out = {}
def failure(f):
    try:
        f()
    except ipp.RemoteError as e:
        return [e.ename, e.evalue]
    except Exception as e:
        return [type(e).__name__, str(e)]
def until(f, seconds=60):
    end = time.time() + seconds
    while time.time() < end:
        value = f()
        if value:
            return value
        time.sleep(0.05)
    raise TimeoutError('the condition never became true')
`;

// Uses every feature of a client, and prints the results and the records.
const everything = `${prelude}
ids = rc.ids
dv = rc[:]
out['apply'] = dv.apply_sync(mul, 6, 7)
wait_until_subscribed(dv)
ar = dv.execute("import sys; print('hello'); sys.stderr.write('oops'); 6*7", silent=False)
ar.get()
ar.wait_for_output(60)
out['stdout'] = ar.stdout
bad = rc[0].apply_async(int, 'x')
out['failed'] = failure(bad.get)
lv = rc.load_balanced_view()
out['map'] = lv.map_sync(lambda x: x * x, range(20)) if sends_functions else [ar.get() for ar in [lv.apply_async(mul, x, x) for x in range(20)]]
with lv.temp_flags(after=[lv.apply_async(abs, 1)]):
    out['after'] = lv.apply_sync(abs, -2)
with lv.temp_flags(retries=5):
    out['retries'] = failure(lambda: lv.apply_sync(truediv, 1, 0))
with lv.temp_flags(after=['nobody']):
    out['invalid'] = failure(lambda: lv.apply_sync(abs, 2))
bv = rc.broadcast_view()
out['broadcast'] = bv.apply_sync(abs, -5)
bv.is_coalescing = True
out['coalesced'] = bv.apply_sync(abs, -6)
if sends_functions:
    dv.push({'a': 5}, block=True)
    out['pull'] = dv.pull('a', block=True)

record = until(lambda: rc.db_query({'msg_id': ar.msg_ids[0], 'stdout': 'hello\\n', 'stderr': 'oops'}))[0]
out['record'] = {k: record[k] for k in ('stdout', 'stderr', 'queue', 'execute_input', 'execute_result', 'error', 'client_uuid', 'engine_uuid')}
out['mine'] = rc.session.session
out['engine'] = rc._engines[0]
out['durations'] = [record['submitted'] <= record['started'] <= record['completed'] <= record['received']]
ago = datetime.now(timezone.utc) - timedelta(hours=1)
everyone = rc.db_query({}, keys=['msg_id'])
out['recent'] = [len(everyone), len(rc.db_query({'started': {'$gte': ago}}, keys=['msg_id'])), len(rc.db_query({'started': {'$lt': ago}}))]
out['history'] = len(rc.hub_history())
out['pending'] = rc.db_query({'completed': None}, keys='msg_id')
out['mux'] = len(rc.db_query({'queue': 'mux', 'client_uuid': rc.session.session}, keys=['msg_id'])) > 0
out['buffers'] = [len(r['buffers']) > 0 for r in rc.db_query({'msg_id': bad.msg_ids[0]}, keys=['buffers', 'result_buffers'])]
out['wrong'] = [failure(lambda: rc.db_query({'complete': None})), failure(lambda: rc.db_query({}, keys=['bogus']))]

status = rc.queue_status()
out['queue_status'] = [sorted(str(k) for k in status), status['unassigned'], sum(status[i]['completed'] for i in ids) > 20]
out['verbose'] = bad.msg_ids[0] in rc.queue_status(0, verbose=True)['completed']

rc2 = ipp.Client(sys.argv[1], timeout=60)
out['other'] = [rc2.get_result(ar.msg_ids[0]).get() is not None, failure(lambda: rc2.get_result(bad.msg_ids[0]).get())]
out['status'] = rc2.result_status(ar.msg_ids)['pending'] == []
again = rc.resubmit(bad.msg_ids)
out['resubmitted'] = failure(lambda: again.get(timeout=60))
out['linked'] = rc.db_query({'msg_id': bad.msg_ids[0]}, keys=['resubmitted'])[0]['resubmitted'] == again.msg_ids[0]

slow = rc[0].execute("import os, time\\nwhile not os.path.exists(%r): time.sleep(0.02)" % os.path.abspath('enough'), block=False)
until(lambda: rc.queue_status(0)['queue'] == 1)
out['purge_pending'] = failure(lambda: rc2.purge_hub_results(slow.msg_ids)) or failure(lambda: rc.purge_hub_results(slow))
open('enough', 'w').close()
slow.get()
rc.purge_hub_results(bad)
rc3 = ipp.Client(sys.argv[1], timeout=60)
out['purged'] = failure(lambda: rc3.result_status(bad.msg_ids[0]))
out['unknown'] = failure(lambda: rc3.result_status('nope'))
rc.purge_hub_results(targets=[0])
out['purged_engine'] = len(rc.db_query({'engine_uuid': rc._engines[0]}))

pid = rc[-1].apply_sync(os.getpid)
dead_id = rc.ids[-1]
uuid = rc._engines[dead_id]
dead = rc[-1].apply_async(time.sleep, 60)
queued = rc.load_balanced_view(targets=[dead_id]).apply_async(time.sleep, 60)
until(lambda: rc.queue_status(dead_id)['queue'] == 1)
until(lambda: rc.db_query({'msg_id': queued.msg_ids[0], 'engine_uuid': uuid}))
os.kill(pid, signal.SIGKILL)
out['dead'] = failure(lambda: dead.get(timeout=60))[0]
out['dead_queued'] = failure(lambda: queued.get(timeout=60))[0]
stored = until(lambda: rc.db_query({'msg_id': dead.msg_ids[0], 'completed': {'$ne': None}}))[0]
out['dead_record'] = [stored['result_content']['ename'], stored['engine_uuid'] == uuid]
until(lambda: dead_id not in rc.ids)
out['left'] = len(rc.ids)

rc.purge_hub_results('all')
out['emptied'] = rc.hub_history()
rc.shutdown(targets=rc.ids[0], block=True)
until(lambda: len(rc.ids) == 0)
out['shut'] = rc.ids
rc.shutdown(hub=True)
print(json.dumps(out))
`;

const small = `${prelude}
dv = rc[:]
out['apply'] = dv.apply_sync(lambda: 6 * 7)
out['map'] = rc.load_balanced_view().map_sync(lambda x: x + 1, range(5))
ar = rc[0].execute('print("x" * 3)', silent=False)
ar.get()
record = until(lambda: rc.db_query({'msg_id': ar.msg_ids[0], 'stdout': 'xxx\\n'}))[0]
out['queue'] = record['queue']
out['history'] = len(rc.hub_history()) > 0
out['broadcast'] = rc.broadcast_view().apply_sync(lambda: 1)
print(json.dumps(out))
`;

// Runs the same work on either controller and prints its records, with a name for every value that differs between runs.
const recordsOfWorkload = `${prelude}
import re
view, lv = rc[0], rc.load_balanced_view()
tasks = {}
tasks['execute'] = view.execute("import sys; print('hello'); sys.stderr.write('oops')\\n6*7", silent=False)
tasks['apply'] = view.apply_async(abs, 3)
tasks['failing'] = view.apply_async(int, 'x')
tasks['failing_execute'] = view.execute('1/0', silent=False, block=False)
tasks['queued'] = lv.apply_async(abs, 5)
tasks['queued_failing'] = lv.apply_async(int, 'x')
with lv.temp_flags(after=['nobody']):
    tasks['invalid'] = lv.apply_async(abs, 5)
for ar in tasks.values():
    failure(lambda: ar.get(timeout=60))
until(lambda: any(r['completed'] for r in rc.db_query({'msg_id': tasks['queued'].msg_ids[0]})))
again = rc.resubmit(tasks['queued'].msg_ids)
again.get(timeout=60)
tasks['resubmitted'] = again
open_task = view.apply_async(time.sleep, 600)
until(lambda: any(r['engine_uuid'] for r in rc.db_query({'msg_id': open_task.msg_ids[0]})))
tasks['open'] = open_task
raw = {}
def settled():
    for name, ar in tasks.items():
        found = rc.db_query({'msg_id': ar.msg_ids[0]})
        if not found or (name != 'open' and not found[0]['completed']):
            return False
        raw[name] = found[0]
    return raw['execute']['stdout'] == 'hello\\n' and raw['execute']['stderr'] == 'oops' and raw['execute']['execute_result'] \\
        and raw['failing_execute']['error'] and raw['failing']['error'] and raw['queued_failing']['error']
until(settled)
names = {}
def plain(value):
    if isinstance(value, datetime):
        return 'DATE'
    if isinstance(value, dict):
        return {plain(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, str):
        if re.match(r'\\d{4}-\\d\\d-\\d\\dT[\\d:.]+(Z|[+-]\\d\\d:\\d\\d)$', value):
            return 'DATE'
        # The engine chooses the colours, which differ between starts.
        value = re.sub(r'\\x1b\\[[\\d;]*m', '', value)
        return re.sub(r'[0-9a-f]{8}-[0-9a-f]{24}(_\\d+)*', 'ID', value)
    return value
print(json.dumps({name: plain(record) for name, record in raw.items()}))
`;

for (const version of stockVersions) {
  describeStock(version, `clients and engines of ${version} on our controller`, () => {
    test('do everything that they do with their own controller', async () => {
      await using cluster = await OurController.start({ version, engines: 2 });
      const out = await cluster.runPython<Record<string, unknown>>(everything);
      expect(out).toMatchObject({
        apply: [42, 42],
        stdout: ['hello\n', 'hello\n'],
        failed: ['ValueError', expect.stringContaining('invalid literal')],
        map: Array.from({ length: 20 }, (_, i) => i * i),
        after: 2,
        retries: ['ZeroDivisionError', 'division by zero'],
        invalid: ['InvalidDependency', expect.any(String)],
        broadcast: [5, 5],
        coalesced: [6, 6],
        ...(version === '7.1' ? {} : { pull: [5, 5] }),
        record: {
          stdout: 'hello\n',
          stderr: 'oops',
          queue: 'mux',
          execute_result: { data: { 'text/plain': '42' } },
          error: null,
          client_uuid: out['mine'],
          engine_uuid: out['engine'],
        },
        durations: [true],
        pending: [],
        mux: true,
        buffers: [true],
        wrong: [
          ['InvalidQueryError', expect.stringContaining('did you mean "completed"?')],
          ['InvalidQueryError', expect.stringContaining('unknown TaskRecord key "bogus"')],
        ],
        queue_status: [['0', '1', 'unassigned'], 0, true],
        verbose: true,
        other: [true, ['ValueError', expect.any(String)]],
        status: true,
        resubmitted: ['ValueError', expect.any(String)],
        linked: true,
        purge_pending: ['IndexError', expect.stringContaining('msg pending')],
        purged: ['TaskPurged', expect.any(String)],
        unknown: ['KeyError', "'No such message: nope'"],
        purged_engine: 0,
        dead: 'EngineError',
        dead_queued: 'EngineError',
        dead_record: ['EngineError', true],
        left: 1,
        emptied: [],
        shut: [],
      });
      const [all, recent, older] = out['recent'] as number[];
      // The task with the invalid dependency never started.
      expect([all, older]).toEqual([(recent ?? 0) + 1, 0]);
      // Tasks of which only output is known (of broadcasts) are not in the history.
      expect(out['history']).toBeLessThanOrEqual(all ?? 0);
      expect(await cluster.ended).toBe(0);
      expect(cluster.log).not.toMatch(/ ERROR /);
    });

    test('find the same records as with their own controller', async () => {
      await using ours = await OurController.start({ version, engines: 1 });
      const env = { ENGINES: '1' };
      const have = await ours.runPython<Record<string, Record<string, unknown>>>(recordsOfWorkload, { env });
      await using stock = await StockCluster.start({ version, engines: 1 });
      const want = await stock.runPython<Record<string, Record<string, unknown>>>(recordsOfWorkload, [], {
        env,
      });
      // The known differences are keys that this controller adds or does not lose.
      for (const [name, record] of Object.entries(want)) {
        record['label'] ??= null;
        if (name === 'resubmitted') record['metadata'] = have[name]?.['metadata'];
        if (name === 'invalid') {
          const content = record['result_content'] as Record<string, unknown>;
          for (const field of ['traceback', 'evalue']) content[field] = expect.anything();
          // The message of the scheduler has another version of the Jupyter protocol.
          (record['result_header'] as Record<string, unknown>)['version'] = expect.stringMatching(/^5\./);
        }
      }
      expect(have).toEqual(want);
    });
  });
}

describeStock('9', 'other settings of the wire', () => {
  test.each([
    ['CURVE', { env: { IPP_ENABLE_CURVE: '1' } }],
    ['msgpack', { controllerArgs: ['--packer=msgpack'] }],
    ['the pure task scheme', { controllerArgs: ['--scheme=pure'] }],
  ])('%s', async (_name, options) => {
    await using cluster = await OurController.start({ version: '9', engines: 2, ...options });
    // Python's client fails under the pure scheme when engine 1 registers before engine 0.
    await using rc = await Client.connect({ connectionFile: cluster.connectionFile });
    await rc.waitForEngines(2, { timeout: 120_000 });
    expect(await cluster.runPython(small)).toEqual({
      ...{ apply: [42, 42], map: [1, 2, 3, 4, 5], queue: 'mux', history: true, broadcast: [1, 1] },
    });
  });
});
