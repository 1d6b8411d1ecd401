import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Client,
  ConnectionClosedError,
  progress,
  type TaskQuery,
  UsageError,
  untilDone,
  type WatchEvent,
} from '@ipyparallel-js/client';
import type { ControllerOptions } from '@ipyparallel-js/hub';
import { firstValueFrom, lastValueFrom, tap } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Closing } from '../support/closing.js';
import { TestController } from '../support/clusters/test-controller.js';
import type { RawClient } from '../support/fakes/raw-client.js';
import type { RawEngine, RawTask } from '../support/fakes/raw-engine.js';
import { waitFor } from '../support/wait-for.js';
import { WatchReplay } from '../support/watch-replay.js';

const KEYS = ['engine_uuid', 'completed', 'result_content', 'resubmitted', 'label', 'stdout'] as const;
const OPEN: TaskQuery = { completed: null };
const FAILED: TaskQuery = { 'result_content.status': 'error' };

type Content = { readonly fails?: boolean; readonly waits?: boolean };

/** Runs a task of a test: it reports its beginning, and then succeeds, fails or never ends. */
async function run(task: RawTask, engine: RawEngine): Promise<void> {
  const { fails, waits } = task.message.content as Content;
  const { header } = task.message;
  await engine.publish('status', { execution_state: 'busy' }, header);
  if (waits === true) return;
  const error = { status: 'error', ename: 'Oh', evalue: 'no', traceback: [], engine_info: {} };
  task.reply(fails === true ? error : { status: 'ok' });
  await engine.publish('status', { execution_state: 'idle' }, header);
}

const stores: { readonly [name: string]: (directory: string) => ControllerOptions } = {
  memory: () => ({ db: { type: 'memory', recordLimit: 100_000 } }),
  sqlite: (location) => ({ db: { type: 'sqlite', location } }),
};

for (const [store, optionsOf] of Object.entries(stores)) {
  for (const feed of ['pushed', 'asked'] as const) {
    describe(`a live query on our controller with ${store}, ${feed}`, () => {
      const closing = new Closing();
      let engine: RawEngine;
      let other: RawClient;
      let rc: Client;
      beforeAll(async () => {
        const directory = mkdtempSync(join(tmpdir(), 'ippjs-watch-'));
        closing.use({
          [Symbol.asyncDispose]: async () => rmSync(directory, { recursive: true, force: true }),
        });
        const controller = closing.use(await TestController.start(optionsOf(directory)));
        engine = await controller.engine({ onTask: (task, me) => void run(task, me) });
        other = await controller.client();
        rc = closing.use(await connect(controller));
      });
      afterAll(async () => {
        await closing.close();
      });

      /** Connects a client. For the feed `asked` it removes the feature `subscribe`, so that the client polls. */
      async function connect({ controller }: TestController): Promise<Client> {
        const client = await Client.connect({ connectionFile: controller.clientFile });
        const features = client.hub?.features as string[];
        if (feed === 'asked') features.splice(features.indexOf('subscribe'), 1);
        await client.waitForEngines(1);
        return client;
      }

      function submit(count: number, content: (i: number) => Content = () => ({})): string[] {
        return Array.from(
          { length: count },
          (_, i) => other.submit('mux', 'apply_request', content(i), engine.uuid).id,
        );
      }

      const watch = (query: TaskQuery): WatchReplay<{ readonly msg_id: string }> =>
        new WatchReplay(rc.dbQuery(query, KEYS).watch({ slowInterval: 500 }));

      it('agrees with the database after two thousand tasks of other clients with different outcomes', async () => {
        const queries: readonly TaskQuery[] = [{}, OPEN, FAILED];
        const replays = queries.map(watch);
        await Promise.all(replays.map((replay) => replay.begun()));
        const ids = submit(2_000, (i) => ({ fails: i % 3 === 0, waits: i % 100 === 99 }));
        await waitFor(
          async () =>
            (await rc.dbQuery({ msg_id: { $in: ids }, completed: { $ne: null } }).count()) === 1_980,
          { timeout: 60_000 },
        );
        for (const [i, replay] of replays.entries())
          await replay.agrees(() => rc.dbQuery(queries[i] ?? {}, KEYS));
        const [all, open, failed] = replays;
        expect(all?.counts).toMatchObject({ entered: 2_000, left: 0 });
        expect(open?.known.size).toBe(20);
        expect(failed?.counts).toMatchObject({ entered: 660, left: 0 });
        const running = () => [...(all?.known.values() ?? [])].filter(({ status }) => status === 'assigned');
        // Records do not contain the beginning of a task, so it may be reported later.
        await all?.until(() => running().every(({ begun }) => begun !== null), 'the beginnings of tasks');
        expect(running()).toHaveLength(20);
        for (const { begun } of running()) expect(begun).toBeInstanceOf(Date);
        for (const replay of replays) replay.stop();
      });

      it('reports purged records, whoever purged them and by which request', async () => {
        const ids = submit(20);
        const query = { msg_id: { $in: ids } };
        const replay = watch(query);
        await replay.until(
          () => ids.every((id) => replay.known.get(id)?.status === 'completed'),
          'all to be completed',
        );
        await rc.purgeHubResults(ids.slice(0, 5));
        await other
          .submit('registration', 'purge_request', { msg_ids: ids.slice(5, 10), engine_ids: [] })
          .reply();
        await replay.until(() => replay.known.size === 10, 'ten to have left');
        await replay.agrees(() => rc.dbQuery(query, KEYS));
        const left = replay.events.filter((event) => event.type === 'left');
        expect(left.map((event) => event.status)).toEqual(Array(10).fill('purged'));
        replay.stop();
      });

      it('reports both records of a resubmission', async () => {
        const [id = ''] = submit(1);
        const replay = watch({});
        await replay.until(() => replay.known.get(id)?.status === 'completed', 'it to be completed');
        await (await rc.resubmit(id)).wait();
        await replay.agrees(() => rc.dbQuery({}, KEYS));
        const [row] = await rc.dbQuery({ msg_id: id }, KEYS);
        expect(row?.resubmitted).toEqual(expect.any(String));
        expect(replay.known.has(row?.resubmitted ?? '')).toBe(true);
        replay.stop();
      });

      it('resumes without gap or repetition', async () => {
        const query = rc.dbQuery({ label: 'resumed' }, KEYS);
        const label = { metadata: { label: 'resumed' } };
        const add = () => other.submit('mux', 'apply_request', {}, engine.uuid, label).id;
        const first = new WatchReplay(query.watch({ slowInterval: 500 }));
        await first.begun();
        const early = add();
        await first.until(() => first.known.get(early)?.status === 'completed', 'the first task');
        const half = first.events.findIndex((event) => event.type === 'entered');
        first.stop();
        const late = add();
        await waitFor(async () => (await rc.dbQuery({ msg_id: late }).first())?.completed != null);
        await rc.purgeHubResults([early]);
        // The resumed watch emits all events after this one, as if the first watch had continued.
        const after = first.events[half]?.sequence;
        if (after === undefined) throw new Error('nothing entered');
        const again = new WatchReplay<{ readonly msg_id: string }>();
        for (const event of first.events.slice(0, half + 1)) again.apply(event);
        const resumed = query.watch({ after, slowInterval: 500 }).subscribe((event) => again.apply(event));
        await again.agrees(() => rc.dbQuery({ label: 'resumed' }, KEYS));
        expect(again.known.size).toBe(1);
        expect(again.events.filter(({ type }) => type === 'snapshot')).toHaveLength(1);
        resumed.unsubscribe();
        const elsewhere = await firstValueFrom(query.watch({ after: 'elsewhere:3' }));
        expect(elsewhere).toMatchObject({ type: 'snapshot', resumed: false, records: [{ msg_id: late }] });
      });

      it('emits a snapshot with every record that existed when it was requested', async () => {
        const running = watch({});
        await running.begun();
        for (let i = 0; i < 5; i++) {
          const [id = ''] = submit(1);
          await other.replyTo(id);
          const event = await firstValueFrom(rc.dbQuery({}, KEYS).watch({ slowInterval: 500 }));
          if (event.type !== 'snapshot') throw new Error('not a snapshot');
          expect(event.records.find(({ msg_id }) => msg_id === id)?.completed).toBeInstanceOf(Date);
        }
        running.stop();
      });

      it('ends on unsubscribe, abort, the end of all tasks, and close', async () => {
        const ids = submit(3);
        const query = rc.dbQuery({ msg_id: { $in: ids } }, KEYS);
        const last = await lastValueFrom(query.watch().pipe(untilDone({ atLeast: 3 }), progress()));
        expect(last).toMatchObject({ total: 3, done: 3, completed: 3 });
        const abort = new AbortController();
        const aborted = lastValueFrom(query.watch({ signal: abort.signal }));
        abort.abort(new Error('enough'));
        await expect(aborted).rejects.toThrow('enough');
        await expect(lastValueFrom(query.watch({ signal: abort.signal }))).rejects.toThrow('enough');
        const iterated = (async () => {
          for await (const _ of query.watch({ signal: AbortSignal.timeout(200) }));
        })();
        await expect(iterated).rejects.toMatchObject({ name: 'TimeoutError' });
      });
    });
  }
}

describe('a live query', () => {
  const closing = new Closing();
  let controller: TestController;
  let engine: RawEngine;
  let other: RawClient;
  let rc: Client;
  beforeAll(async () => {
    controller = closing.use(await TestController.start({ db: { type: 'memory', recordLimit: 100_000 } }));
    engine = await controller.engine({ onTask: (task, me) => void run(task, me) });
    other = await controller.client();
    rc = closing.use(await Client.connect({ connectionFile: controller.controller.clientFile }));
    await rc.waitForEngines(1);
  });
  afterAll(async () => {
    await closing.close();
  });

  it('refuses options and ranges without a meaning', () => {
    expect(() => rc.dbQuery({}, { limit: 3 }).watch()).toThrow(UsageError);
    expect(() => rc.dbQuery({}, { skip: 3 }).watch()).toThrow(/neither skip nor limit/);
    expect(() => rc.dbQuery({}).watch({ pace: -1 })).toThrow(UsageError);
    expect(() => rc.dbQuery({}).watch({ after: 3 as unknown as string })).toThrow(UsageError);
  });

  it('orders its snapshot, and is empty for a query that cannot match', async () => {
    const ids = Array.from({ length: 5 }, () => other.submit('mux', 'apply_request', {}, engine.uuid).id);
    await Promise.all(ids.map((id) => other.replyTo(id)));
    const sorted = rc.dbQuery({}, { keys: [], sort: { submitted: -1 } });
    const event = await firstValueFrom(sorted.watch());
    expect(event.type === 'snapshot' && event.records).toEqual(await sorted);
    expect(await firstValueFrom(rc.dbQuery({ msg_id: { $in: [] } }).watch())).toMatchObject({
      type: 'snapshot',
      records: [],
    });
  });

  it('delivers the latest state of each record to a slow reader, with a bounded queue', async () => {
    const query = rc.dbQuery({ label: 'slow' }, KEYS);
    const replay = new WatchReplay<{ readonly msg_id: string }>();
    const paced = new WatchReplay<{ readonly msg_id: string }>();
    const handedOut: number[] = [];
    let together = false;
    const pacing = query.watch({ pace: 300 }).subscribe((event) => {
      paced.apply(event);
      if (together) return;
      together = true;
      handedOut.push(performance.now());
      queueMicrotask(() => {
        together = false;
      });
    });
    const prompt = new WatchReplay(query.watch());
    await Promise.all([paced.begun(), prompt.begun()]);
    const stop = new AbortController();
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const reading = (async () => {
      for await (const event of query.watch({ signal: stop.signal })) {
        replay.apply(event);
        if (replay.events.length === 1) await held;
      }
    })().catch((error: unknown) => error);
    await replay.begun();
    for (let i = 0; i < 5_000; i++) {
      const message = other.session.rawMessage('apply_request', {}, { metadata: { label: 'slow' } });
      other.send('mux', message, engine.uuid);
    }
    await prompt.until(
      () =>
        prompt.known.size === 5_000 &&
        [...prompt.known.values()].every(({ status }) => status === 'completed'),
      '5,000 completed tasks',
      60_000,
    );
    release();
    await replay.agrees(() => query);
    await paced.agrees(() => rc.dbQuery({ label: 'slow' }, KEYS));
    // Changes of a task become one event while nobody reads, because the hub sends few updates ahead of a slow reader.
    expect(replay.counts).toMatchObject({ entered: 5_000, left: 0 });
    expect(replay.counts.changed).toBeLessThan(5_000);
    for (const [i, at] of handedOut.entries())
      if (i > 0) expect(at - (handedOut[i - 1] ?? 0)).toBeGreaterThan(290);
    stop.abort();
    expect(await reading).toMatchObject({ name: 'AbortError' });
    pacing.unsubscribe();
    prompt.stop();
  }, 120_000);

  it('polls when the hub accepts no more subscriptions', async () => {
    const query = rc.dbQuery({ label: 'many' }, KEYS);
    // A session may have 256 subscriptions.
    const replays = Array.from({ length: 260 }, () => new WatchReplay(query.watch({ slowInterval: 200 })));
    await Promise.all(replays.map((replay) => replay.begun()));
    const label = { metadata: { label: 'many' } };
    const { id } = other.submit('mux', 'apply_request', {}, engine.uuid, label);
    for (const replay of replays)
      await replay.until(() => replay.known.get(id)?.status === 'completed', 'the task to be completed');
    expect(replays.flatMap(({ faults }) => faults)).toEqual([]);
    for (const replay of replays) replay.stop();
  });

  it('reports a task of a previous controller with the same status as its result', async () => {
    const location = mkdtempSync(join(tmpdir(), 'ippjs-watch-'));
    await using closing = new Closing();
    closing.use({ [Symbol.asyncDispose]: async () => rmSync(location, { recursive: true, force: true }) });
    const options: ControllerOptions = { db: { type: 'sqlite', location } };
    let left = '';
    {
      await using before = await TestController.start(options);
      const client = await before.client();
      left = client.submit('task', 'apply_request', {}).id;
      await waitFor(async () => (await client.record(left)) !== undefined);
    }
    const after = closing.use(await TestController.start(options));
    const mine = closing.use(await Client.connect({ connectionFile: after.controller.clientFile }));
    const replay = new WatchReplay(mine.dbQuery({}, 'msg_id').watch());
    await replay.begun();
    expect(replay.events[0]).toMatchObject({ records: [{ msg_id: left }], statuses: ['unassigned'] });
    const result = expect(mine.getResult(left).get()).rejects.toMatchObject({ code: 'TASK_LOST' });
    await replay.until(() => replay.known.get(left)?.status === 'lost', 'it to be given up');
    await result;
    expect(replay.faults).toEqual([]);
    replay.stop();
  });

  it('completes when its client is closed, and so does poll(); untilDone() then errors', async () => {
    const mine = await Client.connect({ connectionFile: controller.controller.clientFile });
    const query = mine.dbQuery({}, 'msg_id');
    const [id = ''] = [other.submit('mux', 'apply_request', { waits: true }, engine.uuid).id];
    const replay = new WatchReplay(query.watch());
    let pacedEvents = 0;
    const paced = lastValueFrom(query.watch({ pace: 50 }).pipe(tap(() => pacedEvents++)));
    const polledIds = new Set<string>();
    const polled = lastValueFrom(
      query.poll(20).pipe(
        tap((records) => {
          for (const { msg_id } of records) polledIds.add(msg_id);
        }),
      ),
    );
    const done = lastValueFrom(
      mine
        .dbQuery({ msg_id: id }, [])
        .watch()
        .pipe(untilDone({ atLeast: 1 })),
    );
    const ended = expect(done).rejects.toThrow(ConnectionClosedError);
    let looped = 0;
    const loop = (async () => {
      for await (const _ of query.watch()) looped++;
    })();
    await replay.until(() => replay.known.has(id) && looped > 0, 'the task');
    // The other readers receive the task on their own schedule.
    await waitFor(() => pacedEvents > 0 && polledIds.has(id));
    await mine.close();
    await waitFor(() => replay.completed);
    expect(replay.error).toBeUndefined();
    await loop;
    expect((await paced).type).toBeDefined();
    expect(await polled).toContainEqual({ msg_id: id });
    await ended;
    expect(() => mine.dbQuery({})).toThrow(ConnectionClosedError);
    await expect(lastValueFrom(query.watch())).rejects.toThrow(ConnectionClosedError);
    await expect(lastValueFrom(query.poll(20))).rejects.toThrow(ConnectionClosedError);
  });

  it('ends when a loop is left while it waits', async () => {
    const loop = rc.dbQuery({ label: 'nothing' }, KEYS).watch()[Symbol.asyncIterator]();
    expect((await loop.next()).value).toMatchObject({ type: 'snapshot', records: [] });
    const next = loop.next();
    await loop.return?.();
    expect(await next).toEqual({ done: true, value: undefined });
    expect(await loop.next()).toEqual({ done: true, value: undefined });
  });

  it('unsubscribes at the hub when the last reader leaves', async () => {
    const events: WatchEvent<unknown>[] = [];
    const subscription = rc
      .dbQuery({}, 'queue')
      .watch()
      .subscribe((event) => events.push(event));
    await waitFor(() => events.length > 0);
    expect(rc.stats.liveFeeds).toBeGreaterThan(0);
    expect(rc.stats.liveRecords).toBeGreaterThan(0);
    const { sent } = rc.stats;
    subscription.unsubscribe();
    await waitFor(() => rc.stats.sent > sent, { what: 'the request to unsubscribe' });
    // The hub handles the requests of a client in order.
    await rc.hubHistory();
    const [id = ''] = [other.submit('mux', 'apply_request', {}, engine.uuid).id];
    await other.replyTo(id);
    const { unexpected } = rc.stats;
    await waitFor(async () => (await rc.dbQuery({ msg_id: id }).first())?.completed != null);
    expect(events).toHaveLength(1);
    expect(rc.stats.unexpected).toBe(unexpected);
  });
});
