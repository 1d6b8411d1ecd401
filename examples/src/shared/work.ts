import type { AsyncResult, Client, ExecuteReply } from '@ipyparallel-js/client';
import type { TaskQuery } from '@ipyparallel-js/protocol';
import { filter, firstValueFrom, timeout } from 'rxjs';

/** The same work in the language of either kind of engine. */
export interface Code {
  readonly javascript: string;
  readonly python: string;
}

/** Sleeps, then has the number of seconds as its result. */
export function sleep(seconds: number): Code {
  return {
    javascript: `await new Promise((done) => setTimeout(done, ${seconds * 1000})); ${seconds}`,
    python: `import time; time.sleep(${seconds}); ${seconds}`,
  };
}

/** Code that reads the same in both languages. */
export function both(code: string): Code {
  return { javascript: code, python: code };
}

/** Hands work to any engine that speaks the first one's language. */
export async function submit(rc: Client, code: Code): Promise<AsyncResult<ExecuteReply>> {
  const [first] = await rc.waitForEngines(1);
  const language = (await rc.engineLanguage(first ?? 0)) === 'javascript' ? 'javascript' : 'python';
  return rc.loadBalancedView().execute(code[language], { language });
}

/** Runs code, one that reads the same in both languages, on each of these engines and waits for all of them. */
export async function runOnEach(rc: Client, ids: readonly number[], code: string): Promise<void> {
  await Promise.all(ids.map((id) => rc.directView(id).execute(code).get()));
}

/**
 * Waits until the hub has these tasks in its database, as the query says. The hub only watches the traffic: it may
 * learn of a task, or of a result, a moment after we do.
 */
export async function recorded(
  rc: Client,
  tasks: AsyncResult<unknown>,
  state: TaskQuery = {},
): Promise<void> {
  const records = rc.dbQuery({ ...state, msg_id: { $in: tasks.msgIds } }, 'msg_id').poll(50);
  const all = records.pipe(filter(({ length }) => length === tasks.msgIds.length));
  await firstValueFrom(all.pipe(timeout(10_000)));
}

/** The state of a task that has ended, for {@link recorded}. */
export const ended: TaskQuery = { completed: { $ne: null } };
