import { filter, firstValueFrom, timeout } from 'rxjs';
import { runOnEach } from '../shared/work.js';
import { answer, ask, id } from './ask.js';
import type { Cast } from './cast.js';
import { askAsDocumented } from './documentation.js';
import { follow } from './live-view.js';
import { code, cut, heading, note, say, shortId, width } from './terminal.js';
import { type Job, Workload } from './workload.js';

/** How long a task of the demonstration may take once the engines have nothing else to do, in ms. */
const PATIENCE_MS = 60_000;

/** The main job from the first task to the last purge. `missing` names a variable that no engine has yet. */
export async function tellStory(cast: Cast, missing: string): Promise<string> {
  const workload = new Workload(cast, missing);
  heading('A workload of two clients');
  workload.submit();
  await follow(cast, workload.jobs);

  say();
  note('Your colleague submits a few more, slow ones; while they run, you ask.');
  const more = workload.submitMore(1.5);
  await untilKnown(cast, more);
  await askAsDocumented(cast);
  await fetchTheirs(cast, more);
  const failed = await resubmitFailed(cast, missing);
  const purged = await purgeFinished(cast);
  const total = workload.jobs.length;
  return `${total} tasks: ${total - failed} completed, ${failed} failed; these were submitted again and completed. ${purged} records purged.`;
}

/** The hub only watches, and may learn of a task after it was sent. */
async function untilKnown({ rc }: Cast, jobs: readonly Job[]): Promise<void> {
  const query = { msg_id: { $in: jobs.map(({ msgId }) => msgId) } };
  const known = rc.dbQuery(query, 'msg_id').poll(50);
  await firstValueFrom(
    known.pipe(
      filter(({ length }) => length === jobs.length),
      timeout(PATIENCE_MS),
    ),
  );
}

async function fetchTheirs({ rc }: Cast, more: readonly Job[]): Promise<void> {
  const taskId = more.at(-1)?.msgId ?? '';
  heading("The result of your colleague's task");
  note(`All it takes is its id, ${shortId(taskId)}; where it is not done yet, the result is waited for:`);
  const { text } = await ask(() => rc.getResult<{ text: string | null }>(taskId).get({ timeout: 60_000 }));
  note(`  ${text} (it slept for so many seconds)`);
}

async function resubmitFailed(cast: Cast, missing: string): Promise<number> {
  const { rc, sessions } = cast;
  heading('What failed, selected and submitted again');
  const failed = await ask(() =>
    rc.dbQuery({ client_uuid: { $in: sessions }, 'result_content.status': 'error' }, [
      'client_uuid',
      'execute_input',
      'result_content',
    ]),
  );
  answer(failed, [
    id,
    ['by', ({ client_uuid }) => cast.who(client_uuid)],
    ['execute_input', ({ execute_input }) => execute_input ?? ''],
    ['error', ({ result_content }) => cut(String(result_content?.evalue), width - 50)],
  ]);
  note('What they lack is a variable. Every engine gets it:');
  const definition = `${missing} = [3, 4]`;
  code(`for (const id of rc.ids) rc.directView(id).execute('${definition}')`);
  await runOnEach(rc, rc.ids, definition);
  const again = await ask(() => rc.resubmit<{ text: string | null }>(failed.map(({ msg_id }) => msg_id)));
  const results = await ask(() => again.get({ timeout: 60_000 }));
  note(`  ${results.map(({ text }) => text).join(', ')}`);
  return failed.length;
}

/** Whatever the demonstration has submitted, and nothing else. */
async function purgeFinished({ rc, sessions }: Cast): Promise<number> {
  heading('What is finished, selected and purged');
  const running = rc.dbQuery({ client_uuid: { $in: sessions }, completed: null }, 'msg_id').poll(50);
  await firstValueFrom(
    running.pipe(
      filter(({ length }) => length === 0),
      timeout(PATIENCE_MS),
    ),
  );
  const finished = await ask(() =>
    rc.dbQuery({ client_uuid: { $in: sessions }, completed: { $ne: null } }, 'msg_id'),
  );
  note(`  ${finished.length} records`);
  await ask(() => rc.purgeResults(finished.map(({ msg_id }) => msg_id)));
  const left = await ask(() => rc.dbQuery({ client_uuid: { $in: sessions } }, 'msg_id'));
  note(`  ${left.length} records`);
  if (left.length > 0) throw new Error(`${left.length} tasks were not purged`);
  return finished.length;
}
