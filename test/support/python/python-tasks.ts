// Tasks that a Python client submits, and their data as the client receives it.
import type { StockCluster } from '../clusters/stock-cluster.js';

/** The data of one task that the Python client received. */
export interface PythonTask {
  readonly id: string;
  /** The dates of Python, with six digits; null before the task has started or ended. */
  readonly submitted: string;
  readonly started: string | null;
  readonly completed: string | null;
  /** In hexadecimal digits. */
  readonly buffers: readonly string[];
  readonly result_buffers: readonly string[];
}

export interface PythonTasks {
  /** The session of the client. */
  readonly session: string;
  readonly tasks: { readonly [name: string]: PythonTask };
}

/** Submits a task for each kind of value, one that fails and one that prints, and waits for all of them. */
export async function submitFromPython(cluster: StockCluster): Promise<PythonTasks> {
  return await cluster.runPython<PythonTasks>(script);
}

const script = String.raw`
  import sys, json, time
  from datetime import timezone
  import ipyparallel

  # Builtins are sent by name, because ipyparallel 7.1 cannot send functions to engines of Python 3.11.
  expressions = {
      'none': 'None',
      'true': 'True',
      'int': '7',
      'safe': '2 ** 53 - 1',
      'big': '-2 ** 70',
      'float': '1.5',
      'str': '"h\\u00e9 \\U0001F600"',
      'bytes': 'b"\\x00\\xff"',
      'list': '[1, [2, None]]',
      'tuple': '(1, "a")',
      'dict': '{"a": {"b": None}, "c": [True]}',
      'intkeys': '{1: "x"}',
      'datetime': '__import__("datetime").datetime(2026, 1, 15, 10, 0, 0, 123456, tzinfo=__import__("datetime").timezone.utc)',
      'set': '{1, 2}',
      'fraction': '__import__("fractions").Fraction(1, 3)',
      'long': '"x" * 100000',
  }
  boom = 'print("before the end"); raise ValueError("no such luck")'

  rc = ipyparallel.Client(sys.argv[1], timeout=60)
  rc.wait_for_engines(2, timeout=60)
  view = rc.load_balanced_view()
  results = {name: view.apply_async(eval, text) for name, text in expressions.items()}
  results['boom'] = rc[1].apply_async(exec, boom)
  results['execute'] = rc[[0]].execute('print("from Python"); 6 * 7', silent=False)
  results['mux'] = rc[1].apply_async(eval, expressions['str'])
  for result in results.values():
      result.wait(60)
  ids = {name: result.msg_ids[0] for name, result in results.items()}
  deadline = time.monotonic() + 60
  keys = ['submitted', 'started', 'completed', 'buffers', 'result_buffers', 'stdout', 'execute_result', 'error']
  # The hub receives output on a separate socket.
  def has_output(rows):
      execute, boom = rows[ids['execute']], rows[ids['boom']]
      return execute['stdout'] and execute['execute_result'] and boom['stdout'] and boom['error']
  while True:
      rows = {row['msg_id']: row for row in rc.db_query({'msg_id': {'$in': list(ids.values())}}, keys=keys)}
      if len(rows) == len(ids) and all(row['completed'] for row in rows.values()) and has_output(rows):
          break
      assert time.monotonic() < deadline, 'the hub lacks records'
  def text(date):
      return date and date.astimezone(timezone.utc).strftime('%Y-%m-%dT%H:%M:%S.%fZ')
  def plain(id):
      row = rows[id]
      dates = {key: text(row[key]) for key in keys[:3]}
      buffers = {key: [bytes(b).hex() for b in row[key] or []] for key in keys[3:5]}
      return dict(id=id, **dates, **buffers)
  answer = {'session': rc.session.session, 'tasks': {name: plain(id) for name, id in ids.items()}}
  rc.close()
  print(json.dumps(answer))
`;
