import type { AsyncResult, Client, ExecuteReply } from '@ipyparallel-js/client';
import type { TaskQuery } from '@ipyparallel-js/protocol';
import { filter, firstValueFrom, timeout } from 'rxjs';

/** The same work in the language of either kind of engine. */
export interface Code {
  readonly javascript: string;
  readonly python: string;
}

/** Code that sleeps and returns the number of seconds. */
export function sleep(seconds: number): Code {
  return {
    javascript: `await new Promise((done) => setTimeout(done, ${seconds * 1000})); ${seconds}`,
    python: `import time; time.sleep(${seconds}); ${seconds}`,
  };
}

/** Code that is valid in both languages. */
export function sameCode(code: string): Code {
  return { javascript: code, python: code };
}

/** Submits load-balanced code in the language of the first engine. */
export async function submit(rc: Client, code: Code): Promise<AsyncResult<ExecuteReply>> {
  const [first] = await rc.waitForEngines(1);
  const language = (await rc.engineLanguage(first ?? 0)) === 'javascript' ? 'javascript' : 'python';
  return rc.loadBalancedView().execute(code[language], { language });
}

/** Runs code that is valid in both languages on each of these engines; waits for all of them and for their records. */
export async function runOnEach(rc: Client, ids: readonly number[], code: string): Promise<void> {
  await Promise.all(
    ids.map(async (id) => {
      const task = rc.directView(id).execute(code);
      await task.get();
      await waitUntilRecorded(rc, task, { execute_input: { $ne: null } });
    }),
  );
}

/**
 * Waits until the hub's database contains these tasks and they match `state`. The hub observes the traffic, so it may
 * record a task or a result slightly later than the client.
 */
export async function waitUntilRecorded(
  rc: Client,
  tasks: AsyncResult<unknown>,
  state: TaskQuery = {},
): Promise<void> {
  const records = rc.dbQuery({ ...state, msg_id: { $in: tasks.msgIds } }, 'msg_id').poll(50);
  const all = records.pipe(filter(({ length }) => length === tasks.msgIds.length));
  await firstValueFrom(all.pipe(timeout(60_000)));
}

/** Interrupts a task until it ends. An engine ignores an interrupt before the task runs. */
export async function interrupt(rc: Client, task: AsyncResult<unknown>): Promise<void> {
  while (!(await task.wait({ timeout: 500 }))) {
    const [engine = null] = task.engineIds;
    if (engine !== null) await rc.sendSignal('SIGINT', { targets: engine });
  }
}

/** Matches a task that has ended, for {@link waitUntilRecorded}. */
export const ENDED: TaskQuery = { completed: { $ne: null } };
