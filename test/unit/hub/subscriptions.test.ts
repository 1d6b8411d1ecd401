// Tests the subscriptions of a hub without threads or sockets.
import {
  ChangeLog,
  type FoundTask,
  Hub,
  MemoryDatabase,
  NoDatabase,
  type Schedulers,
  type SubscriptionLimits,
  systemClock,
  type TaskDatabase,
} from '@ipyparallel-js/hub/internal';
import { type AnyMessage, type Dict, Session, type SubscriptionChange } from '@ipyparallel-js/protocol';
import { createLogger } from '@ipyparallel-js/wire';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import { waitFor } from '../../support/wait-for.js';

const clock = systemClock();
const newSession = () => new Session({ key: 'k', now: clock.now });
const openBenches: Bench[] = [];

afterEach(async () => {
  for (const bench of openBenches.splice(0)) await bench.hub.close();
});

interface Update {
  readonly subscription: string;
  readonly seq: number;
  readonly changes: readonly SubscriptionChange[];
  readonly reset?: boolean;
  readonly ended?: string;
}

class CountingDatabase extends MemoryDatabase {
  /** The ids of each read. */
  readonly reads: (readonly string[])[] = [];
  override get(
    msgIds: readonly string[],
    keys?: Parameters<MemoryDatabase['get']>[1],
  ): Promise<Map<string, FoundTask>> {
    if (msgIds.length > 0) this.reads.push(msgIds);
    return super.get(msgIds, keys);
  }
}

class Bench implements Schedulers {
  readonly sent: { readonly to: string; readonly message: AnyMessage }[] = [];
  readonly lines: string[] = [];
  readonly hub: Hub;
  readonly client = newSession();
  readonly #reader = newSession();

  constructor(db: TaskDatabase = new MemoryDatabase(), subscriptions: Partial<SubscriptionLimits> = {}) {
    this.hub = new Hub({
      ...{
        session: newSession(),
        schedulers: this,
        reply: this.reply.bind(this),
        db,
        connectionInfo: {},
        hbPeriod: 100,
        clock,
      },
      ...{ registrationTimeout: 60_000, subscriptions },
      log: createLogger('info', (_level, line) => this.lines.push(line)),
    });
    openBenches.push(this);
    this.request('registration_request', { uuid: 'e' });
    this.hub.newHeart('e');
  }

  reply(frames: readonly (Uint8Array | string)[]): void {
    const [to, ...rest] = frames as Buffer[];
    this.sent.push({ to: String(to), message: this.#reader.decode(rest) });
  }
  notify(): void {}
  awaitHeart(): void {}
  forgetHeart(): void {}
  addEngine(): void {}
  removeEngine(): void {}
  submitTask(): void {}
  submitDirect(): void {}
  shutdown(): void {}

  request(type: string, content: Dict, from = 'client', session = this.client): string {
    const message = session.rawMessage(type, content);
    this.hub.query(session.encode(message, [from]));
    return message.msg_id;
  }

  async call(type: string, content: Dict, from = 'client', session = this.client): Promise<Dict> {
    const id = this.request(type, content, from, session);
    const reply = await waitFor(() =>
      this.sent.find(
        ({ message }) => message.parent_header['msg_id'] === id && message.msg_type !== 'subscription_update',
      ),
    );
    return reply.message.content;
  }

  async subscribe(query: Dict, more: Dict = {}, from = 'client'): Promise<Dict> {
    const reply = await this.call('subscribe_request', { query, keys: ['label'], ...more }, from);
    expect(reply).toMatchObject({ status: 'ok' });
    return reply;
  }

  /** Submits a task to the engine. @returns its id */
  submit(label: string): string {
    const message = this.client.rawMessage('apply_request', {}, { metadata: { label } });
    this.hub.directRequest(this.client.encode(message, ['e', 'client']));
    return message.msg_id;
  }

  finish(msgId: string, status = 'ok'): void {
    const reply = this.client.rawMessage('apply_reply', { status }, { parent: { msg_id: msgId } });
    this.hub.directReply(this.client.encode(reply, ['client', 'e']));
  }

  publish(msgId: string, type: string, content: Dict): void {
    const message = this.client.rawMessage(type, content, { parent: { msg_id: msgId } });
    this.hub.output(this.client.encode(message, [`engine.0.${type}`]));
  }

  updates({ subscription }: Dict): Update[] {
    return this.sent
      .filter(({ message }) => message.msg_type === 'subscription_update')
      .map(({ message }) => message.content as unknown as Update)
      .filter((update) => update.subscription === subscription);
  }

  ack(subscription: Dict, seq?: number): void {
    const last = this.updates(subscription).at(-1)?.seq ?? 0;
    this.request('subscription_ack', { subscription: subscription['subscription'], seq: seq ?? last });
  }

  /** Collects all updates, earlier ones included, and acknowledges each, until no further update arrives. */
  async collect(subscription: Dict, count: number): Promise<SubscriptionChange[]> {
    const changes = (): SubscriptionChange[] =>
      this.updates(subscription).flatMap((update) => update.changes);
    await waitFor(() => {
      this.ack(subscription);
      return changes().length >= count;
    });
    return changes();
  }
}

const idOf = (change: SubscriptionChange | undefined): unknown =>
  change?.op === 'set' ? change.record['msg_id'] : change?.msg_id;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('an update contains the requested keys and the keys of the status', async () => {
  const bench = new Bench();
  const subscription = await bench.subscribe({});
  const id = bench.submit('a');
  const [first] = await bench.collect(subscription, 1);
  const record = { msg_id: id, label: 'a', engine_uuid: 'e', completed: null, result_content: null };
  expect(first).toEqual({ op: 'set', record, seq: 1 });
  bench.finish(id);
  const [, second] = await bench.collect(subscription, 2);
  expect(second).toMatchObject({ op: 'set', record: { msg_id: id, result_content: { status: 'ok' } } });
});

test('the hub reports a task that no longer matches as out and a purged task as gone, and no other tasks', async () => {
  const bench = new Bench();
  const subscription = await bench.subscribe({ completed: null, label: 'a' });
  const id = bench.submit('a');
  const other = bench.submit('b');
  await bench.collect(subscription, 1);
  bench.finish(other);
  bench.finish(id);
  await bench.collect(subscription, 2);
  await bench.call('purge_request', { msg_ids: [id] });
  const changes = await bench.collect(subscription, 3);
  expect(changes.map(({ op }) => op)).toEqual(['set', 'out', 'gone']);
  expect(changes.map(idOf)).toEqual([id, id, id]);
});

test('the hub sends nothing about a task that was added after the snapshot and has never matched', async () => {
  const bench = new Bench();
  const query = { completed: { $ne: null }, 'result_content.status': 'ok' };
  const subscription = await bench.subscribe(query, { resumable: true });
  await bench.call('subscription_sync_request', { subscription: subscription['subscription'] });
  const failing = bench.submit('a');
  const id = bench.submit('a');
  bench.finish(failing, 'error');
  bench.finish(id);
  await bench.collect(subscription, 1);
  await bench.call('purge_request', { msg_ids: [failing] });
  await bench.call('purge_request', { msg_ids: [id] });
  const changes = await bench.collect(subscription, 2);
  expect(changes.map(({ op }) => op)).toEqual(['set', 'gone']);
  expect(changes.map(idOf)).toEqual([id, id]);
});

test('the hub reports a task as out if its output arrives first and its request shows that it never matched', async () => {
  const bench = new Bench();
  const subscription = await bench.subscribe({ label: null });
  const message = bench.client.rawMessage('apply_request', {}, { metadata: { label: 'a' } });
  bench.publish(message.msg_id, 'stream', { name: 'stdout', text: 'hello' });
  await bench.collect(subscription, 1);
  bench.hub.directRequest(bench.client.encode(message, ['e', 'client']));
  const changes = await bench.collect(subscription, 2);
  expect(changes.map(({ op }) => op)).toEqual(['set', 'out']);
});

test('the hub reports the start of a task until the task ends, also to later subscribers', async () => {
  const bench = new Bench();
  const subscription = await bench.subscribe({});
  const id = bench.submit('a');
  await bench.collect(subscription, 1);
  bench.publish(id, 'status', { execution_state: 'busy' });
  const [, begun] = await bench.collect(subscription, 2);
  expect(begun).toMatchObject({ op: 'set', record: { msg_id: id }, begun: expect.stringMatching(/^\d{4}-/) });
  const later = await bench.subscribe({ label: 'a' });
  expect(await bench.collect(later, 1)).toEqual([begun]);
  bench.finish(id);
  const [, , ended] = await bench.collect(subscription, 3);
  expect(ended).toMatchObject({ op: 'set' });
  expect(ended).not.toHaveProperty('begun');
});

test('many subscribers of one query cause one evaluation', async () => {
  const db = new CountingDatabase();
  const bench = new Bench(db);
  const all = await Promise.all(Array.from({ length: 20 }, () => bench.subscribe({ label: 'a' })));
  const other = await bench.subscribe({ completed: { $ne: null } });
  const id = bench.submit('a');
  bench.finish(id);
  for (const subscription of [...all, other]) await bench.collect(subscription, 1);
  expect(db.reads.filter((ids) => ids.includes(id))).toHaveLength(1);
});

test('a slow subscriber receives the latest state of each task once', async () => {
  const db = new CountingDatabase();
  const bench = new Bench(db);
  const subscription = await bench.subscribe({});
  const prompt = await bench.subscribe({ completed: { $ne: null } });
  const ids = ['a', 'b', 'c'].map((label) => bench.submit(label));
  await waitFor(() => bench.updates(subscription).length === 1);
  const more = bench.submit('d');
  await waitFor(() => bench.updates(subscription).length === 2);
  for (let i = 0; i < 50; i++) {
    for (const id of ids) bench.publish(id, 'stream', { name: 'stdout', text: 'x' });
    await pause(0);
  }
  for (const id of [...ids, more]) bench.finish(id);
  // The hub evaluates a change for all subscribers at once.
  await waitFor(() => {
    bench.ack(prompt);
    const ended = bench.updates(prompt).flatMap((update) => update.changes.filter(({ op }) => op === 'set'));
    return new Set(ended.map(idOf)).size === 4;
  });
  expect(bench.updates(subscription)).toHaveLength(2);
  const reads = db.reads.length;
  bench.ack(subscription);
  await waitFor(() => bench.updates(subscription).length === 3);
  const changes = bench.updates(subscription)[2]?.changes ?? [];
  expect(changes.map(idOf).sort()).toEqual([...ids, more].sort());
  for (const change of changes)
    expect(change).toMatchObject({ record: { result_content: { status: 'ok' } } });
  // A late subscriber does not make the hub read an evaluated task again.
  expect(db.reads).toHaveLength(reads);
});

test('updates have a limited size', async () => {
  const bench = new Bench();
  const subscription = await bench.subscribe({}, { keys: ['stdout'] });
  const id = bench.submit('a');
  const ids = [id, ...Array.from({ length: 9 }, () => bench.submit('a'))];
  for (const one of ids) bench.publish(one, 'stream', { name: 'stdout', text: 'x'.repeat(300_000) });
  await waitFor(() => {
    bench.ack(subscription);
    const received = bench.updates(subscription).flatMap(({ changes }) => changes);
    return ids.every((one) =>
      received.some(
        (change) => idOf(change) === one && change.op === 'set' && change.record['stdout'] !== '',
      ),
    );
  });
  const sizes = bench.updates(subscription).map((update) => JSON.stringify(update).length);
  expect(Math.max(...sizes)).toBeLessThan(1.4 * 2 ** 20);
});

test('a returning subscriber resumes at its position', async () => {
  const bench = new Bench();
  const first = await bench.subscribe({ label: 'a' });
  expect(first).toMatchObject({ resumed: false });
  const id = bench.submit('a');
  await bench.collect(first, 1);
  const at = bench.updates(first).at(-1)?.seq;
  expect(await bench.call('unsubscribe_request', { subscription: first['subscription'] })).toEqual({
    status: 'ok',
  });
  const meanwhile = bench.submit('a');
  bench.submit('b');
  bench.finish(id);
  const after = { epoch: first['epoch'], seq: at };
  const second = await bench.subscribe({ label: 'a' }, { after }, 'another identity');
  expect(second).toMatchObject({ resumed: true, seq: at });
  const changes = await waitFor(() => {
    const received = bench.updates(second).flatMap((update) => update.changes);
    return received.length >= 2 && received;
  });
  expect(changes.map(idOf).sort()).toEqual([id, meanwhile].sort());
  expect(bench.updates(first)).toHaveLength(1);
});

test('a subscriber does not resume from another run or from before the stored changes', async () => {
  const bench = new Bench(undefined, { changedTasks: 10 });
  const { epoch, seq } = await bench.subscribe({});
  for (let i = 0; i < 12; i++) bench.submit('a');
  expect(await bench.subscribe({}, { after: { epoch, seq } })).toMatchObject({ resumed: false });
  expect(await bench.subscribe({}, { after: { epoch: 'x', seq } })).toMatchObject({ resumed: false });
  for (const invalid of [null, 3, 'x', { epoch, seq: 'x' }, { epoch, seq: -1 }, { epoch, seq: 1e9 }])
    expect(await bench.subscribe({}, { after: invalid })).toMatchObject({ resumed: false });
});

test('a subscriber that is too far behind receives a reset', async () => {
  const bench = new Bench(undefined, { changedTasks: 10 });
  const subscription = await bench.subscribe({});
  for (const label of ['a', 'b']) {
    const count = bench.updates(subscription).length;
    bench.submit(label);
    await waitFor(() => bench.updates(subscription).length > count);
  }
  const ids = Array.from({ length: 9000 }, () => bench.submit('c'));
  await bench.call('db_request', { query: { msg_id: ids.at(-1) }, keys: ['msg_id'] });
  bench.ack(subscription);
  const update = await waitFor(() => bench.updates(subscription)[2]);
  expect(update).toMatchObject({ reset: true, changes: [] });
  bench.ack(subscription);
  const last = bench.submit('d');
  expect(idOf((await bench.collect(subscription, 3)).at(-1))).toBe(last);
});

test('the hub removes a silent subscriber, and replies ended to its next message', async () => {
  // The time of this test passes with renewals only, so that a pause of the machine silences no subscriber.
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const bench = new Bench(undefined, { silence: 200 });
  const silent = await bench.subscribe({});
  const alive = await bench.subscribe({});
  const renew = (): void => {
    vi.advanceTimersByTime(50);
    bench.request('subscription_renew', { subscription: alive['subscription'] });
  };
  const ended = await waitFor(() => {
    renew();
    return bench.updates(silent).find((update) => update.ended !== undefined);
  });
  expect(ended.ended).toMatch(/the subscriber sent nothing/);
  expect(bench.updates(alive).some((update) => update.ended !== undefined)).toBe(false);
  bench.request('subscription_renew', { subscription: silent['subscription'] });
  await waitFor(() => bench.updates(silent).some((update) => update.ended?.includes('no such subscription')));
});

test('a subscriber without updates can resume from its last renewal', async () => {
  const bench = new Bench();
  const subscription = await bench.subscribe({ label: 'a' });
  bench.submit('b');
  await bench.call('queue_request', { targets: null });
  await waitFor(() => {
    bench.request('subscription_renew', { subscription: subscription['subscription'] });
    return bench.updates(subscription).length > 0;
  });
  const [update] = bench.updates(subscription);
  expect(update?.changes).toEqual([]);
  expect(update?.seq).toBeGreaterThan(Number(subscription['seq']));
});

test('the hub refuses invalid subscriptions and subscriptions beyond a limit, with a reason', async () => {
  const bench = new Bench(undefined, { perSession: 2, total: 3, queries: 2 });
  const subscribe = (query: unknown, more: Dict = {}, session = bench.client): Promise<Dict> =>
    bench.call('subscribe_request', { query, keys: null, ...more }, 'client', session);
  for (const [query, keys] of [
    ...[['x', null] as const, [{ nothing: 1 }, null] as const, [{ label: { $regex: '(' } }, null] as const],
    [{}, ['nothing']] as const,
  ]) {
    expect(await subscribe(query, { keys })).toMatchObject({ status: 'error', ename: 'InvalidQueryError' });
  }
  expect(await subscribe({ label: 'a' })).toMatchObject({ status: 'ok' });
  expect(await subscribe({ label: 'b' })).toMatchObject({ status: 'ok' });
  expect(await subscribe({ label: 'b' })).toMatchObject({ status: 'error', ename: 'TooManySubscriptions' });
  const another = newSession();
  expect(await subscribe({ label: 'c' }, {}, another)).toMatchObject({
    evalue: expect.stringContaining('distinct queries'),
  });
  expect(await subscribe({ label: 'b' }, {}, another)).toMatchObject({ status: 'ok' });
  expect(await subscribe({ label: 'b' }, {}, newSession())).toMatchObject({
    evalue: expect.stringContaining('this hub'),
  });
});

test('a session that returns under another identity replaces its earlier subscriptions', async () => {
  const bench = new Bench(undefined, { perSession: 2 });
  await bench.subscribe({}, {}, 'first');
  await bench.subscribe({}, {}, 'first');
  await bench.subscribe({}, {}, 'second');
  await bench.subscribe({}, {}, 'second');
  expect(await bench.call('subscribe_request', { query: {}, keys: null }, 'second')).toMatchObject({
    status: 'error',
  });
});

test('only the subscriber itself can end or acknowledge a subscription, and only updates that were sent', async () => {
  const bench = new Bench();
  const subscription = await bench.subscribe({});
  const { subscription: id } = subscription;
  await bench.call('unsubscribe_request', { subscription: id }, 'stranger');
  bench.request('subscription_ack', { subscription: id, seq: 1e9 });
  for (const invalid of [{}, { subscription: 3 }, { subscription: id, seq: 'x' }])
    bench.request('subscription_ack', invalid);
  bench.submit('a');
  await bench.collect(subscription, 1);
  expect(bench.lines.join('\n')).toMatch(/refused: an acknowledgement of an update that was not sent/);
  expect(bench.lines.join('\n')).toMatch(/refused: a subscription_ack without a subscription/);
});

test('the hub refuses a subscription without a Task Database', async () => {
  const bench = new Bench(new NoDatabase());
  expect(await bench.call('subscribe_request', { query: {}, keys: null })).toMatchObject({
    ...{ status: 'error', ename: 'NoData' },
  });
});

test('the hub retries reading a failing store, and loses no change', async () => {
  let broken = false;
  class FlakyDatabase extends MemoryDatabase {
    override get(...args: Parameters<MemoryDatabase['get']>): Promise<Map<string, FoundTask>> {
      return broken ? Promise.reject(new Error('the disk is unavailable')) : super.get(...args);
    }
  }
  const bench = new Bench(new FlakyDatabase());
  const subscription = await bench.subscribe({});
  broken = true;
  const id = bench.submit('a');
  await waitFor(() => bench.lines.some((line) => line.includes('the disk is unavailable')));
  broken = false;
  expect(idOf((await bench.collect(subscription, 1))[0])).toBe(id);
});

test('clients that watch their own tasks receive updates of no other tasks', async () => {
  const bench = new Bench();
  const sessions = Array.from({ length: 150 }, () => newSession());
  const subscriptions = await Promise.all(
    sessions.map((session, i) =>
      bench.call(
        'subscribe_request',
        { query: { client_uuid: session.session, completed: null }, keys: ['label'] },
        `client-${i}`,
        session,
      ),
    ),
  );
  const byId = await bench.subscribe({ msg_id: { $in: ['early', 'never'] } });
  const byLabel = await bench.subscribe({ label: { $in: ['a', 'b'] } });
  const wide = await bench.subscribe({ $or: [{ label: 'a' }, { label: null }] });
  const [one, another] = sessions;
  if (one === undefined || another === undefined) throw new Error('no sessions');
  const submit = (session: Session, label: string): string => {
    const message = session.rawMessage('apply_request', {}, { metadata: { label } });
    bench.hub.directRequest(session.encode(message, ['e', 'client']));
    return message.msg_id;
  };
  const first = submit(one, 'a');
  submit(another, 'c');
  bench.publish('early', 'stream', { name: 'stdout', text: 'x' });
  bench.finish(first);
  await bench.collect(wide, 2);
  await waitFor(
    () =>
      bench
        .updates(subscriptions[0] ?? {})
        .flatMap(({ changes }) => changes)
        .at(-1)?.op === 'out',
  );
  await waitFor(() => bench.updates(byLabel).length > 0);
  const receivedIds = (subscription: Dict | undefined): Set<unknown> =>
    new Set(bench.updates(subscription ?? {}).flatMap(({ changes }) => changes.map(idOf)));
  expect(receivedIds(byId)).toEqual(new Set(['early']));
  expect(receivedIds(byLabel)).toContain(first);
  expect(receivedIds(subscriptions[0])).toContain(first);
  // The client of a task that printed before its request arrived is not known yet.
  for (const subscription of subscriptions.slice(2))
    expect([...receivedIds(subscription)]).toEqual(['early']);
});

test('a change log holds the latest entry of each id in order, and the position from which it is complete', () => {
  const log = new ChangeLog<string>(3);
  for (let seq = 1; seq <= 1000; seq++) log.add(seq, `id ${seq % 2}`, `value ${seq}`, 10);
  expect([...log.entriesAfter(0)].map(({ seq }) => seq)).toEqual([999, 1000]);
  expect(log.floor).toBe(0);
  log.add(1001, 'x', '', 10);
  log.add(1002, 'y', '', 10);
  log.trim();
  expect([...log.entriesAfter(999, 2)].map(({ msgId }) => msgId)).toEqual(['id 0', 'x']);
  expect([log.floor, log.size]).toEqual([999, 3]);
  log.add(1003, 'heavy', '', 95);
  log.trim(3, 100);
  expect([...log.entriesAfter(0)].map(({ msgId }) => msgId)).toEqual(['heavy']);
  log.clear(2000);
  expect([[...log.entriesAfter(0)], log.floor]).toEqual([[], 2000]);
});
