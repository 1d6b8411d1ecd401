import pc from 'picocolors';
import type { Participants } from './participants.js';
import { id, showAndRun, showRecords, showRefusal, started, text } from './show-query.js';
import { code, heading, note, printLine } from './terminal.js';

/** Runs every example query of ipyparallel's documentation of the Task Database. */
export async function runDocumentedQueries(participants: Participants): Promise<void> {
  heading('The example queries of the documentation');
  await showIncomplete(participants);
  await showMine(participants);
  await showOthers(participants);
  await showHeaders(participants);
}

async function showIncomplete({ rc }: Participants): Promise<void> {
  note(`The ids and start times of all incomplete tasks. The key is ${pc.bold('completed')}:`);
  showRefusal(() => rc.dbQuery({ complete: null } as object, ['msg_id', 'started']));
  const records = await showAndRun(() => rc.dbQuery({ completed: null }, ['msg_id', 'started']));
  showRecords(records, [id, started]);
}

async function showMine(participants: Participants): Promise<void> {
  const { rc } = participants;
  printLine();
  note('All tasks that I started in the last hour:');
  const hourAgo = new Date(Date.now() - 60 * 60 * 1000);
  code('const hourAgo = new Date(Date.now() - 60 * 60 * 1000)');
  const records = await showAndRun(() =>
    rc.dbQuery({ started: { $gte: hourAgo }, client_uuid: rc.session.session }),
  );
  showRecords(records, [
    id,
    started,
    ['engine', ({ engine_uuid }) => participants.engineId(engine_uuid)],
    ['execute_input', ({ execute_input }) => text(execute_input)],
  ]);
}

async function showOthers(participants: Participants): Promise<void> {
  const { rc } = participants;
  printLine();
  note('All tasks that other clients started more than an hour ago ($lt is $le in the documentation):');
  const hourAgo = new Date(Date.now() - 60 * 60 * 1000);
  const old = await showAndRun(() =>
    rc.dbQuery({ started: { $lt: hourAgo }, client_uuid: { $ne: rc.session.session } }, [
      'client_uuid',
      'started',
    ]),
  );
  const by = [
    'by',
    ({ client_uuid }: { client_uuid: string | null }) => participants.clientName(client_uuid),
  ] as const;
  showRecords(old, [id, started, by]);
  if (old.length > 0) return;
  note('There are none. Tasks that other clients started more than a second ago:');
  const secondAgo = new Date(Date.now() - 1000);
  const recent = await showAndRun(() =>
    rc.dbQuery({ started: { $lt: secondAgo }, client_uuid: { $ne: rc.session.session } }, [
      'client_uuid',
      'started',
    ]),
  );
  showRecords(recent, [id, started, by]);
}

async function showHeaders({ rc }: Participants): Promise<void> {
  const documented = [3, 4];
  const ids = documented.every((engine) => rc.engines.has(engine)) ? documented : rc.ids.slice(-2);
  printLine();
  note(`The result headers of all tasks on engine ${ids.join(' or ')} (3 or 4 in the documentation):`);
  const uuids = ids.map((engine) => rc.engines.get(engine));
  code(`const uuids = [${ids.join(', ')}].map((id) => rc.engines.get(id))`);
  const records = await showAndRun(() => rc.dbQuery({ engine_uuid: { $in: uuids } }, 'result_header'));
  showRecords(records, [
    id,
    ['msg_type', ({ result_header }) => text(result_header?.msg_type)],
    ['date', ({ result_header }) => text(result_header?.date)],
    ['msg_id of the reply', ({ result_header }) => text(result_header?.msg_id)],
  ]);
}
