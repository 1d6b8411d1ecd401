import { filter, firstValueFrom, timeout } from 'rxjs';
import { runOnEach, waitUntilRecorded } from '../shared/work.js';
import { runDocumentedQueries } from './documented-queries.js';
import { showLive } from './live-view.js';
import type { Participants } from './participants.js';
import { id, showAndRun, showRecords } from './show-query.js';
import { code, cut, heading, note, printLine, shortId, width } from './terminal.js';
import { type Job, Workload } from './workload.js';

/** How long a task may take once the engines are otherwise idle, in ms. */
const TASK_TIMEOUT_MS = 60_000;

/** Runs the main job from the first task to the last purge. No engine may have a variable with the name `missing`. */
export async function runScenario(participants: Participants, missing: string): Promise<string> {
  const workload = new Workload(participants, missing);
  heading('A workload of two clients');
  workload.submit();
  await showLive(participants, workload.jobs);

  printLine();
  note('Your colleague submits a few more, slow tasks. While they run, you query the database.');
  const more = workload.submitMore(1.5);
  await waitUntilListed(participants, more);
  await runDocumentedQueries(participants);
  await readOtherResult(participants, more);
  const failed = await resubmitFailed(participants, missing);
  const purged = await purgeFinished(participants);
  const total = workload.jobs.length;
  return `${total} tasks: ${total - failed} completed, ${failed} failed; the failed tasks were resubmitted and completed. ${purged} records purged.`;
}

/** The hub observes the traffic and may record a task some time after it was sent. */
async function waitUntilListed({ rc }: Participants, jobs: readonly Job[]): Promise<void> {
  const query = { msg_id: { $in: jobs.map(({ msgId }) => msgId) } };
  const listed = rc.dbQuery(query, 'msg_id').poll(50);
  await firstValueFrom(
    listed.pipe(
      filter(({ length }) => length === jobs.length),
      timeout(TASK_TIMEOUT_MS),
    ),
  );
}

async function readOtherResult({ rc }: Participants, more: readonly Job[]): Promise<void> {
  const taskId = more.at(-1)?.msgId ?? '';
  heading("The result of your colleague's task");
  note(`You need only its id, ${shortId(taskId)}. If the task has not ended, getResult waits:`);
  const { text } = await showAndRun(() =>
    rc.getResult<{ text: string | null }>(taskId).get({ timeout: 60_000 }),
  );
  note(`  ${text} (the number of seconds that it slept)`);
}

async function resubmitFailed(participants: Participants, missing: string): Promise<number> {
  const { rc, sessions } = participants;
  heading('Failed tasks, selected and resubmitted');
  const failed = await showAndRun(() =>
    rc.dbQuery({ client_uuid: { $in: sessions }, 'result_content.status': 'error' }, [
      'client_uuid',
      'execute_input',
      'result_content',
    ]),
  );
  showRecords(failed, [
    id,
    ['by', ({ client_uuid }) => participants.clientName(client_uuid)],
    ['execute_input', ({ execute_input }) => execute_input ?? ''],
    ['error', ({ result_content }) => cut(String(result_content?.evalue), width - 50)],
  ]);
  note('They need a variable. Define it on every engine:');
  const definition = `${missing} = [3, 4]`;
  code(`for (const id of rc.ids) rc.directView(id).execute('${definition}')`);
  await runOnEach(rc, rc.ids, definition);
  const resubmitted = await showAndRun(() =>
    rc.resubmit<{ text: string | null }>(failed.map(({ msg_id }) => msg_id)),
  );
  const results = await showAndRun(() => resubmitted.get({ timeout: 60_000 }));
  note(`  ${results.map(({ text }) => text).join(', ')}`);
  // A Python hub stores output that arrives after a purge in a new record.
  await waitUntilRecorded(rc, resubmitted, { execute_result: { $ne: null } });
  return failed.length;
}

/** Purges the tasks of this program only. */
async function purgeFinished({ rc, sessions }: Participants): Promise<number> {
  heading('Finished tasks, selected and purged');
  const running = rc.dbQuery({ client_uuid: { $in: sessions }, completed: null }, 'msg_id').poll(50);
  await firstValueFrom(
    running.pipe(
      filter(({ length }) => length === 0),
      timeout(TASK_TIMEOUT_MS),
    ),
  );
  const finished = await showAndRun(() =>
    rc.dbQuery({ client_uuid: { $in: sessions }, completed: { $ne: null } }, 'msg_id'),
  );
  note(`  ${finished.length} records`);
  await showAndRun(() => rc.purgeResults(finished.map(({ msg_id }) => msg_id)));
  const remaining = await showAndRun(() => rc.dbQuery({ client_uuid: { $in: sessions } }, 'msg_id'));
  note(`  ${remaining.length} records`);
  if (remaining.length > 0) throw new Error(`${remaining.length} tasks were not purged`);
  return finished.length;
}
