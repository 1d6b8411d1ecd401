// The live queries of a client never send two requests at once to a hub that does not push.
import { Client } from '@ipyparallel-js/client';
import type { Dict } from '@ipyparallel-js/protocol';
import { expect, it, onTestFinished } from 'vitest';
import { FakeHub } from '../support/fakes/fake-hub.js';
import { WatchReplay } from '../support/watch-replay.js';

/** The records of a previous run of the controller, whose tasks never end. */
const OPEN: readonly Dict[] = Array.from({ length: 40 }, (_, i) => ({
  ...{
    msg_id: `b0b0_${i}`,
    header: { msg_type: 'execute_request' },
    submitted: '2026-01-01T00:00:00.000000Z',
  },
  ...{ engine_uuid: 'e', completed: null, result_content: null, client_uuid: 'c', resubmitted: null },
}));

function idsIn(query: unknown): readonly string[] | undefined {
  const text = JSON.stringify(query);
  const found = text.match(/b0b0_\d+/g);
  return found ?? undefined;
}

it('a live query sends one request after the other, also during the search for lost tasks', async () => {
  let under = 0;
  let most = 0;
  const asked = new Map<string, number>();
  const hub = await FakeHub.start({
    answer: (request, me) => {
      const { msg_type, content } = request.message;
      if (!['db_request', 'history_request', 'result_request'].includes(msg_type)) return undefined;
      asked.set(msg_type, (asked.get(msg_type) ?? 0) + 1);
      most = Math.max(most, ++under);
      const reply = (): Dict => {
        if (msg_type === 'history_request')
          return { status: 'ok', history: OPEN.map((task) => task['msg_id']) };
        if (msg_type === 'result_request') {
          const [id] = content['msg_ids'] as string[];
          const evalue = `'No such message: ${id}'`;
          return { status: 'error', ename: 'KeyError', evalue, traceback: [] };
        }
        const ids = idsIn(content['query']);
        const records = OPEN.filter((task) => ids?.includes(String(task['msg_id'])) ?? true);
        const lens = records.map(() => 0);
        return { status: 'ok', records, buffer_lens: lens, result_buffer_lens: lens };
      };
      // The delay is long enough for another request to arrive meanwhile.
      setTimeout(() => {
        under--;
        me.send(request, me.reply(request, reply()));
      }, 3);
      return false;
    },
  });
  onTestFinished(() => hub.stop());
  const rc = await Client.connect({ connectionFile: hub.info });
  onTestFinished(() => rc.close());
  const queries = [{}, { completed: null }, { client_uuid: 'c' }] as const;
  const replays = queries.map(
    (query) => new WatchReplay(rc.dbQuery(query, 'engine_uuid').watch({ slowInterval: 20, interval: 1 })),
  );
  for (const replay of replays)
    await replay.until(
      () => replay.known.size === 40 && [...replay.known.values()].every(({ status }) => status === 'lost'),
      'all to be given up',
      60_000,
    );
  expect(most).toBe(1);
  expect(asked.get('result_request')).toBeGreaterThan(40);
  expect(asked.get('history_request')).toBeGreaterThan(3);
  expect(replays.flatMap(({ faults }) => faults)).toEqual([]);
  for (const replay of replays) replay.stop();
}, 90_000);
