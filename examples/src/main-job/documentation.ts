import pc from 'picocolors';
import { answer, ask, askInVain, id, started, text } from './ask.js';
import type { Cast } from './cast.js';
import { code, heading, note, say } from './terminal.js';

/** Asks every example query of ipyparallel's documentation of the Task Database. */
export async function askAsDocumented(cast: Cast): Promise<void> {
  heading('The example queries of the documentation');
  await incomplete(cast);
  await mine(cast);
  await others(cast);
  await headers(cast);
}

async function incomplete({ rc }: Cast): Promise<void> {
  note(`All tasks that are not completed, their ids and start times. The key is ${pc.bold('completed')}:`);
  askInVain(() => rc.dbQuery({ complete: null } as object, ['msg_id', 'started']));
  const records = await ask(() => rc.dbQuery({ completed: null }, ['msg_id', 'started']));
  answer(records, [id, started]);
}

async function mine(cast: Cast): Promise<void> {
  const { rc } = cast;
  say();
  note('All tasks started in the last hour by me:');
  const hourAgo = new Date(Date.now() - 60 * 60 * 1000);
  code('const hourAgo = new Date(Date.now() - 60 * 60 * 1000)');
  const records = await ask(() =>
    rc.dbQuery({ started: { $gte: hourAgo }, client_uuid: rc.session.session }),
  );
  answer(records, [
    id,
    started,
    ['engine', ({ engine_uuid }) => cast.engine(engine_uuid)],
    ['execute_input', ({ execute_input }) => text(execute_input)],
  ]);
}

async function others(cast: Cast): Promise<void> {
  const { rc } = cast;
  say();
  note("All tasks started more than an hour ago, by others than me ($lt is the documentation's $le):");
  const hourAgo = new Date(Date.now() - 60 * 60 * 1000);
  const old = await ask(() =>
    rc.dbQuery({ started: { $lt: hourAgo }, client_uuid: { $ne: rc.session.session } }, [
      'client_uuid',
      'started',
    ]),
  );
  const by = ['by', ({ client_uuid }: { client_uuid: string | null }) => cast.who(client_uuid)] as const;
  answer(old, [id, started, by]);
  if (old.length > 0) return;
  note('Nobody was here so long ago. More than a second ago:');
  const secondAgo = new Date(Date.now() - 1000);
  const recent = await ask(() =>
    rc.dbQuery({ started: { $lt: secondAgo }, client_uuid: { $ne: rc.session.session } }, [
      'client_uuid',
      'started',
    ]),
  );
  answer(recent, [id, started, by]);
}

async function headers({ rc }: Cast): Promise<void> {
  const documented = [3, 4];
  const ids = documented.every((wanted) => rc.engines.has(wanted)) ? documented : rc.ids.slice(-2);
  say();
  note(`The result headers of all tasks on engine ${ids.join(' or ')} (the documentation has 3 or 4):`);
  const uuids = ids.map((engine) => rc.engines.get(engine));
  code(`const uuids = [${ids.join(', ')}].map((id) => rc.engines.get(id))`);
  const records = await ask(() => rc.dbQuery({ engine_uuid: { $in: uuids } }, 'result_header'));
  answer(records, [
    id,
    ['msg_type', ({ result_header }) => text(result_header?.msg_type)],
    ['date', ({ result_header }) => text(result_header?.date)],
    ['msg_id of the reply', ({ result_header }) => text(result_header?.msg_id)],
  ]);
}
