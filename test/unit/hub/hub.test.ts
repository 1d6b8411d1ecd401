// Tests a hub without threads or sockets.
import {
  Hub,
  MemoryDatabase,
  type Schedulers,
  systemClock,
  type TaskChange,
  type WriteOutcome,
} from '@ipyparallel-js/hub/internal';
import { type AnyMessage, type Dict, Session } from '@ipyparallel-js/protocol';
import { createLogger } from '@ipyparallel-js/wire';
import { expect, test } from 'vitest';
import { waitFor } from '../../support/wait-for.js';

const clock = systemClock();
const newSession = () => new Session({ key: 'k', now: clock.now });

class Bench implements Schedulers {
  /** The calls of the hub, in order. */
  readonly events: string[] = [];
  readonly replies: AnyMessage[] = [];
  readonly lines: string[] = [];
  readonly hub: Hub;
  readonly client = newSession();
  readonly #reader = newSession();

  constructor(db = new MemoryDatabase()) {
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
      registrationTimeout: 60_000,
      log: createLogger('info', (_level, line) => this.lines.push(line)),
    });
  }

  reply(frames: readonly (Uint8Array | string)[]): void {
    this.replies.push(this.#reader.decode(frames.slice(1) as Buffer[]));
  }
  notify(frames: readonly (Uint8Array | string)[]): void {
    this.events.push(this.#reader.decode(frames as Buffer[]).msg_type);
  }
  awaitHeart(uuid: string): void {
    this.events.push(`await ${uuid}`);
  }
  forgetHeart(uuid: string): void {
    this.events.push(`forget ${uuid}`);
  }
  addEngine(uuid: string): void {
    this.events.push(`add ${uuid}`);
  }
  removeEngine(uuid: string): void {
    this.events.push(`remove ${uuid}`);
  }
  submitTask(): void {
    this.events.push('task');
  }
  submitDirect(): void {
    this.events.push('direct');
  }
  shutdown(): void {
    this.events.push('shutdown');
  }

  request(type: string, content: Dict): string {
    const message = this.client.rawMessage(type, content);
    this.hub.query(this.client.encode(message, ['client']));
    return message.msg_id;
  }

  async call(type: string, content: Dict): Promise<Dict> {
    const id = this.request(type, content);
    return (await waitFor(() => this.replies.find(({ parent_header }) => parent_header['msg_id'] === id)))
      .content;
  }

  submit(engine: string): string {
    const message = this.client.rawMessage('apply_request', {});
    this.hub.directRequest(this.client.encode(message, [engine, 'client']));
    return message.msg_id;
  }
}

test('the task queue receives an engine before the hub announces it', () => {
  const bench = new Bench();
  bench.request('registration_request', { uuid: 'e' });
  bench.hub.newHeart('e');
  bench.hub.newHeart('unknown');
  bench.hub.stoppedHeart('e');
  bench.hub.stoppedHeart('e');
  expect(bench.events).toEqual([
    ...['await e', 'add e', 'registration_notification', 'remove e', 'unregistration_notification'],
  ]);
});

test('a request sees every copy that arrived before it, even with a slow Task Database', async () => {
  class SlowDatabase extends MemoryDatabase {
    override async write(changes: readonly TaskChange[]): Promise<WriteOutcome> {
      await new Promise((resolve) => setTimeout(resolve, 30));
      return super.write(changes);
    }
  }
  const bench = new Bench(new SlowDatabase());
  bench.request('registration_request', { uuid: 'e' });
  bench.hub.newHeart('e');
  const ids = [1, 2, 3].map(() => bench.submit('e'));
  const busy = setInterval(() => bench.submit('e'), 5);
  const reply = await bench.call('db_request', { query: { msg_id: { $in: ids } }, keys: ['msg_id'] });
  clearInterval(busy);
  expect(reply['records']).toHaveLength(3);
  await bench.hub.close();
});

test('the hub reports a failing Task Database and continues', async () => {
  class FailingDatabase extends MemoryDatabase {
    override async write(): Promise<WriteOutcome> {
      throw new Error('the disk is full');
    }
  }
  const bench = new Bench(new FailingDatabase());
  bench.request('registration_request', { uuid: 'e' });
  bench.hub.newHeart('e');
  const id = bench.submit('e');
  expect(await bench.call('queue_request', { targets: null })).toMatchObject({ '0': { queue: 1 } });
  expect(await bench.call('result_request', { msg_ids: [id] })).toMatchObject({ pending: [id] });
  expect(bench.lines.some((line) => line.includes('the disk is full'))).toBe(true);
});

test('the hub replies with an error to an invalid request', async () => {
  class ThrowingDatabase extends MemoryDatabase {
    override async history(): Promise<string[]> {
      throw new RangeError('too much');
    }
  }
  const bench = new Bench(new ThrowingDatabase());
  expect(await bench.call('history_request', {})).toMatchObject({
    status: 'error',
    ename: 'RangeError',
    evalue: 'too much',
  });
});
