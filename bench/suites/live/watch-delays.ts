import { setImmediate as yieldToEvents } from 'node:timers/promises';
import { type Client, exactTime } from '@ipyparallel-js/client';
import type { PythonLive } from '../../peers/python-live.js';

/** Long enough that the client waits before the task ends. */
const TASK = 'import time; time.sleep(0.1)';
const WAIT = { timeout: 60_000 };

/** Measures the time from a task's `completed` date to the `watch()` event at a subscriber, in ms. */
export async function measureWatchDelays(
  watcher: Client,
  submitter: Client,
  count: number,
): Promise<number[]> {
  const delays: number[] = [];
  const view = submitter.loadBalancedView();
  const observed = new Set<string>();
  let onCompleted = (): void => undefined;
  let fail = (_: unknown): void => undefined;
  const failure = new Promise<never>((_, reject) => {
    fail = reject;
  });
  const query = watcher.dbQuery({ client_uuid: submitter.session.session }, ['msg_id', 'completed']);
  let onSnapshot = (): void => undefined;
  const snapshot = new Promise<void>((resolve) => {
    onSnapshot = resolve;
  });
  const live = query.watch().subscribe({
    error: fail,
    next: (event) => {
      if (event.type === 'snapshot') onSnapshot();
      else if (
        event.type !== 'left' &&
        event.record.completed !== null &&
        !observed.has(event.record.msg_id)
      ) {
        observed.add(event.record.msg_id);
        delays.push(performance.timeOrigin + performance.now() - completedAt(event.record));
        onCompleted();
      }
    },
  });
  try {
    await Promise.race([snapshot, failure]);
    for (let i = 0; i < count; i++) {
      const completed = new Promise<void>((resolve) => {
        onCompleted = resolve;
      });
      await view.execute(TASK).get(WAIT);
      await Promise.race([completed, failure]);
    }
  } finally {
    live.unsubscribe();
  }
  return delays;
}

/** Measures the time from a task's `completed` date to the return of Python's `AsyncHubResult.wait`, in ms. */
export async function measurePythonDelays(
  python: PythonLive,
  submitter: Client,
  count: number,
): Promise<number[]> {
  const delays: number[] = [];
  const view = submitter.loadBalancedView();
  for (let i = 0; i < count; i++) {
    const ar = view.execute(TASK);
    const [msgId = ''] = ar.msgIds;
    // Python's wait fails for a task that the hub has not recorded yet.
    while ((await submitter.dbQuery({ msg_id: msgId }, 'msg_id').first()) === undefined)
      await yieldToEvents();
    delays.push(await python.wait(msgId));
    await ar.get(WAIT);
  }
  return delays;
}

/** Milliseconds since 1970, with the microseconds that a Date lacks. */
function completedAt(record: { readonly completed: Date | null }): number {
  const text = exactTime(record, 'completed') ?? '';
  return Date.parse(`${text.slice(0, 23)}Z`) + Number(text.slice(23, 26)) / 1000;
}
