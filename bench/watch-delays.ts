import { setImmediate as turn } from 'node:timers/promises';
import { type Client, exactTime } from '@ipyparallel-js/client';
import type { PythonLive } from './python-live.js';

/** Long enough that whoever waits has begun to wait. */
const TASK = 'import time; time.sleep(0.1)';
const WAIT = { timeout: 60_000 };

/** From a task's end, as its record has it, until `watch` tells a subscriber; another client submits. In ms. */
export async function delaysOfWatch(watcher: Client, submitter: Client, count: number): Promise<number[]> {
  const delays: number[] = [];
  const view = submitter.loadBalancedView();
  const heard = new Set<string>();
  let told = (): void => undefined;
  let failed = (_: unknown): void => undefined;
  const failure = new Promise<never>((_, reject) => {
    failed = reject;
  });
  const query = watcher.dbQuery({ client_uuid: submitter.session.session }, ['msg_id', 'completed']);
  let began = (): void => undefined;
  const begun = new Promise<void>((resolve) => {
    began = resolve;
  });
  const live = query.watch().subscribe({
    error: failed,
    next: (event) => {
      if (event.type === 'snapshot') began();
      else if (event.type !== 'left' && event.record.completed !== null && !heard.has(event.record.msg_id)) {
        heard.add(event.record.msg_id);
        delays.push(performance.timeOrigin + performance.now() - completedAt(event.record));
        told();
      }
    },
  });
  try {
    await Promise.race([begun, failure]);
    for (let i = 0; i < count; i++) {
      const hearing = new Promise<void>((resolve) => {
        told = resolve;
      });
      await view.execute(TASK).get(WAIT);
      await Promise.race([hearing, failure]);
    }
  } finally {
    live.unsubscribe();
  }
  return delays;
}

/** The same until Python's `AsyncHubResult.wait` returns. */
export async function delaysOfPython(
  python: PythonLive,
  submitter: Client,
  count: number,
): Promise<number[]> {
  const delays: number[] = [];
  const view = submitter.loadBalancedView();
  for (let i = 0; i < count; i++) {
    const ar = view.execute(TASK);
    const [msgId = ''] = ar.msgIds;
    // Python's wait fails for a task that the hub has not heard of yet.
    while ((await submitter.dbQuery({ msg_id: msgId }, 'msg_id').first()) === undefined) await turn();
    delays.push(await python.wait(msgId));
    await ar.get(WAIT);
  }
  return delays;
}

/** Ms since 1970 with the digits that a Date has not. */
function completedAt(record: { readonly completed: Date | null }): number {
  const text = exactTime(record, 'completed') ?? '';
  return Date.parse(`${text.slice(0, 23)}Z`) + Number(text.slice(23, 26)) / 1000;
}
