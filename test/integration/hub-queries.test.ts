import type { Dict } from '@ipyparallel-js/protocol';
import { describe, expect, test } from 'vitest';
import { TestController } from '../support/clusters/test-controller.js';
import type { RawClient } from '../support/fakes/raw-client.js';
import { answerAll } from '../support/fakes/raw-engine.js';

// Queries as clients in other languages send them: JSON, with dates and patterns as text.
async function ask(client: RawClient, query: unknown): Promise<Dict> {
  const reply = await client.submit('registration', 'db_request', { query, keys: ['msg_id'] }).reply();
  return reply.content;
}

async function ids(client: RawClient, query: unknown): Promise<unknown> {
  const content = await ask(client, query);
  return content['status'] === 'ok' ? (content['records'] as Dict[]).map(({ msg_id }) => msg_id) : content;
}

describe('a query in a message', () => {
  test('supports every operator, with dates and patterns as text', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    const engine = await c.engine({ onTask: answerAll });
    const done = client.submit('mux', 'apply_request', { n: 5, list: [{ a: 1 }, { a: 2 }] }, engine.uuid);
    await done.reply();
    const open = client.submit('task', 'apply_request', { n: 6, text: 'Line one\nline two' });
    await open.reply();
    for (const [query, found] of [
      [{ $or: [{ queue: 'mux' }, { msg_id: 'none' }] }, [done.id]],
      [{ $nor: [{ queue: 'mux' }] }, [open.id]],
      [{ $and: [{ queue: 'task' }, { 'content.n': { $mod: [2, 0] } }] }, [open.id]],
      [{ 'content.text': { $regex: '^LINE', $options: 'im' } }, [open.id]],
      [{ 'content.text': { $not: { $regex: 'two$' } } }, [done.id]],
      [{ 'content.list': { $elemMatch: { a: { $gt: 1 } } } }, [done.id]],
      [{ 'content.list': { $size: 2 }, 'content.text': { $exists: false } }, [done.id]],
      [{ 'content.list.a': { $all: [1, 2] }, 'content.n': { $type: 'number' } }, [done.id]],
      [{ submitted: { $not: { $lt: '2000-01-01T00:00:00.000000Z' } } }, [done.id, open.id]],
      [{ msg_id: { $in: [...Array.from({ length: 5_000 }, (_, i) => `x${i}`), open.id] } }, [open.id]],
    ]) {
      expect(await ids(client, query), JSON.stringify(query).slice(0, 200)).toEqual(found);
    }
  });

  test('that is too deep, too wide or malformed is refused with the limit, and the hub continues', async () => {
    await using c = await TestController.start();
    const client = await c.client();
    let deep: unknown = { queue: 'mux' };
    for (let i = 0; i < 45; i++) deep = { $or: [deep] };
    for (const [query, says] of [
      [deep, 'at most 40 levels deep'],
      [{ $or: Array.from({ length: 1_001 }, () => ({ queue: 'mux' })) }, 'at most 1000 conditions'],
      [{ msg_id: { $in: Array.from({ length: 100_001 }, () => '') } }, 'at most 100000 values, got 100001'],
      [{ stdout: { $regex: 'a{900}'.repeat(3) } }, 'at most 2000 instructions'],
      [{ stdout: { $regex: 'x'.repeat(1_001) } }, 'at most 1000 characters, got 1001'],
      [{ stdout: { $regex: '(?=x)' } }, 'lookaround'],
      [{ $where: 'while(true);' }, 'unknown operator "$where"'],
      [{ 'content.a': { $mod: [0, 1] } }, 'divisor'],
      [{ submitted: { $gte: 'yesterday' } }, 'ISO 8601'],
      [JSON.parse('{"__proto__": {"queue": "mux"}}'), '"__proto__"'],
    ] as const) {
      expect(await ask(client, query)).toMatchObject({
        status: 'error',
        ename: 'InvalidQueryError',
        evalue: expect.stringContaining(says),
      });
    }
    expect(await ids(client, {})).toEqual([]);
  });
});
