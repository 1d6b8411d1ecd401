// Another process resumes live queries on our controller.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, type TaskQuery, type WatchEvent } from '@ipyparallel-js/client';
import type { ControllerOptions } from '@ipyparallel-js/hub';
import { firstValueFrom } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { Closing } from '../support/closing.js';
import { TestController } from '../support/clusters/test-controller.js';
import type { RawTask } from '../support/fakes/raw-engine.js';
import { WatcherProcess } from '../support/programs/watcher-process.js';
import { waitFor } from '../support/wait-for.js';
import { WatchReplay } from '../support/watch-replay.js';

const KEYS = ['engine_uuid', 'completed', 'result_content', 'resubmitted', 'label', 'stdout'] as const;
const OPEN: TaskQuery = { completed: null };

const infoOf = ({ controller }: TestController): Record<string, unknown> =>
  JSON.parse(readFileSync(controller.clientFile, 'utf8')) as Record<string, unknown>;

const asTold = <T>(records: T): T => JSON.parse(JSON.stringify(records)) as T;

type Told = WatchEvent<{ readonly msg_id: string }>;

/** Starts a controller, an engine that replies on command, and a client that submits tasks. */
async function start(closing: Closing, options: ControllerOptions = {}) {
  const bench = closing.use(await TestController.start(options));
  const held = new Map<string, RawTask>();
  const engine = await bench.engine({
    onTask: (task) => {
      const { waits } = task.message.content as { waits?: boolean };
      if (waits === true) held.set(task.message.msg_id, task);
      else task.reply({ status: 'ok' });
    },
  });
  const other = await bench.client();
  const rc = closing.use(await Client.connect({ connectionFile: bench.controller.clientFile }));
  await rc.waitForEngines(1);
  const submit = (count: number, content = {}, label = 'a'): string[] =>
    Array.from(
      { length: count },
      () => other.submit('mux', 'apply_request', content, engine.uuid, { metadata: { label } }).id,
    );
  const done = (ids: readonly string[]): Promise<unknown> =>
    waitFor(
      async () =>
        (await rc.dbQuery({ msg_id: { $in: [...ids] }, completed: { $ne: null } }).count()) === ids.length,
    );
  return { bench, engine, other, rc, held, submit, done };
}

const stores: { readonly [name: string]: (directory: string) => ControllerOptions } = {
  memory: () => ({ db: { type: 'memory', recordLimit: 100_000 } }),
  sqlite: (location) => ({ db: { type: 'sqlite', location } }),
};

for (const [store, optionsOf] of Object.entries(stores)) {
  it(`resumes without gap or repetition in one process after another: ${store}`, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'ippjs-resume-'));
    await using closing = new Closing();
    closing.use({
      [Symbol.asyncDispose]: async () => rmSync(directory, { recursive: true, force: true }),
    });
    const { bench, rc, held, submit, done } = await start(closing, optionsOf(directory));
    const old = submit(40);
    const waiting = submit(12, { waits: true });
    await done(old);
    await waitFor(() => held.size === waiting.length);
    const queries: readonly TaskQuery[] = [{}, OPEN];
    const services = queries.map((query) => ({ query, replay: new WatchReplay<{ msg_id: string }>() }));
    /** Each service resumes after the last stored event, and is killed after a number of further events. */
    const live = async (counts: readonly number[], meanwhile: () => void): Promise<void> => {
      const processes = services.map(({ query, replay }) => {
        const after = replay.events.at(-1)?.sequence;
        const orders = { connection: infoOf(bench), query, keys: KEYS, after };
        return closing.use(new WatcherProcess(orders, (event: Told) => replay.apply(event)));
      });
      meanwhile();
      await processes[0]?.printed(1);
      meanwhile();
      await Promise.all(processes.map((process, i) => process.printed(counts[i] ?? 1)));
      await Promise.all(processes.map((process) => process.kill()));
    };
    await live([1, 1], () => undefined);
    // While no service runs, tasks end, others are purged by id and by query, and new ones are submitted.
    for (const id of waiting.slice(0, 5)) held.get(id)?.reply({ status: 'ok' });
    await done(waiting.slice(0, 5));
    await rc.purgeHubResults(old.slice(0, 5));
    await rc.dbQuery({ msg_id: { $in: old.slice(5, 8) } }).purge();
    const later = submit(10);
    await done(later);
    for (const round of [1, 2, 3]) {
      const [next = ''] = waiting.slice(4 + round);
      await live([20, 1], () => {
        submit(60);
        held.get(next)?.reply({ status: 'ok' });
        held.delete(next);
      });
    }
    const last = services.map(({ query, replay }) =>
      closing.use(
        new WatcherProcess(
          { connection: infoOf(bench), query, keys: KEYS, after: replay.events.at(-1)?.sequence },
          (event: Told) => replay.apply(event),
        ),
      ),
    );
    for (const id of waiting.slice(8)) held.get(id)?.reply({ status: 'ok' });
    await done(waiting);
    for (const { query, replay } of services) {
      await replay.agrees(async () => asTold(await rc.dbQuery(query, KEYS)), 60_000);
      expect(replay.events.filter(({ type }) => type === 'snapshot')).toHaveLength(1);
    }
    expect(services[0]?.replay.counts).toMatchObject({ left: 8 });
    expect(services[1]?.replay.known.size).toBe(0);
    await Promise.all(last.map((process) => process.kill()));
  }, 180_000);
}

describe('a sequence that cannot be resumed leads to a snapshot with resumed: false', () => {
  it('of another query, of other keys, of another run, and of no feed', async () => {
    const location = mkdtempSync(join(tmpdir(), 'ippjs-resume-'));
    await using closing = new Closing();
    closing.use({ [Symbol.asyncDispose]: async () => rmSync(location, { recursive: true, force: true }) });
    const options: ControllerOptions = { db: { type: 'sqlite', location } };
    let sequence = '';
    let id = '';
    {
      await using before = new Closing();
      const { bench, rc, submit, done } = await start(before, options);
      [id = ''] = submit(1);
      await done([id]);
      ({ sequence } = await firstValueFrom(rc.dbQuery({}, KEYS).watch()));
      const another = before.use(await Client.connect({ connectionFile: bench.controller.clientFile }));
      const missed = { type: 'snapshot', resumed: false, records: [{ msg_id: id }] };
      for (const [query, keys] of [
        [{ label: 'a' }, KEYS],
        [{}, ['label']],
      ] as const) {
        const event = await firstValueFrom(another.dbQuery(query, [...keys]).watch({ after: sequence }));
        expect(event).toMatchObject(missed);
      }
      expect(await firstValueFrom(another.dbQuery({}, KEYS).watch({ after: 'a:b' }))).toMatchObject(missed);
      // A resumed watch emits the changes since, and no snapshot.
      const resumed = firstValueFrom(another.dbQuery({}, KEYS).watch({ after: sequence }));
      const [next = ''] = submit(1);
      expect(await resumed).toMatchObject({ type: 'entered', record: { msg_id: next } });
      await done([next]);
    }
    const { rc } = await start(closing, options);
    const event = await firstValueFrom(rc.dbQuery({}, KEYS).watch({ after: sequence }));
    expect(event).toMatchObject({ type: 'snapshot', resumed: false });
    expect(event.type === 'snapshot' && event.records).toHaveLength(2);
    expect(await firstValueFrom(rc.dbQuery({}, KEYS).watch())).not.toHaveProperty('resumed');
  });

  it('from before the history of the controller, limited by number, time and bytes', async () => {
    for (const liveQueries of [
      { resumeChanges: 3 },
      { resumeTime: 1 },
      { resumeTime: 0 },
      { resumeBytes: 0 },
    ]) {
      await using closing = new Closing();
      const { bench, rc, submit } = await start(closing, { liveQueries });
      const { sequence } = await firstValueFrom(rc.dbQuery({}, KEYS).watch());
      await rc.close();
      const mine = closing.use(await Client.connect({ connectionFile: bench.controller.clientFile }));
      const ids = submit(20);
      await waitFor(
        async () =>
          (await mine.dbQuery({ msg_id: { $in: ids }, completed: { $ne: null } }).count()) === ids.length,
      );
      const event = await firstValueFrom(mine.dbQuery({}, KEYS).watch({ after: sequence }));
      expect(event, JSON.stringify(liveQueries)).toMatchObject({ type: 'snapshot', resumed: false });
    }
  });
});

it('a watch continues without gap or repetition after its process was stopped for longer than the hub waits', async () => {
  await using closing = new Closing();
  const options: ControllerOptions = {
    db: { type: 'memory', recordLimit: 100_000 },
    liveQueries: { silence: 1_500 },
  };
  const { bench, rc, held, submit, done } = await start(closing, options);
  const waiting = submit(5, { waits: true });
  const old = submit(20);
  await done(old);
  await waitFor(() => held.size === waiting.length);
  const replay = new WatchReplay<{ msg_id: string }>();
  const orders = { connection: infoOf(bench), query: {}, keys: KEYS };
  const process = closing.use(new WatcherProcess(orders, (event) => replay.apply(event)));
  await process.printed(1);
  const ended = (): number => bench.log.filter((line) => line.includes('ended a subscription')).length;
  const before = ended();
  process.child.kill('SIGSTOP');
  submit(30);
  held.get(waiting[0] ?? '')?.reply({ status: 'ok' });
  await rc.purgeHubResults(old.slice(0, 4));
  await waitFor(() => ended() > before, { timeout: 60_000, what: 'the hub to give it up' });
  const later = submit(10);
  await done([...later, ...waiting.slice(0, 1)]);
  process.child.kill('SIGCONT');
  await replay.agrees(async () => asTold(await rc.dbQuery({}, KEYS)), 60_000);
  for (const id of waiting.slice(1)) held.get(id)?.reply({ status: 'ok' });
  await done(waiting);
  await replay.agrees(async () => asTold(await rc.dbQuery({}, KEYS)), 60_000);
  expect(replay.events.filter(({ type }) => type === 'snapshot')).toHaveLength(1);
  expect(replay.counts).toMatchObject({ entered: 40, left: 4 });
}, 120_000);
