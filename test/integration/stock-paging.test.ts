// The requests that a stock hub receives for large queries.
import { Client } from '@ipyparallel-js/client';
import { type Dict, parseWireDate } from '@ipyparallel-js/protocol';
import { isDict, parseQuery, recordPredicate } from '@ipyparallel-js/protocol/internal';
import { afterEach, describe, expect, it } from 'vitest';
import { Closing } from '../support/closing.js';
import { FakeHub } from '../support/fakes/fake-hub.js';
import { stopClock } from '../support/stopped-clock.js';
import { taskNo } from '../support/suites/paging.js';

const closing = new Closing();
afterEach(async () => {
  await closing.close();
});

interface Asked {
  readonly ids: number | undefined;
  readonly keys: readonly string[] | null;
  readonly answered: number;
}

/** Starts a hub whose replies take `costMs` for each record, by the clock with which the client measures them. */
async function stockHub(count: number, options: { database: 'dict' | 'sqlite'; costMs: number }) {
  const clock = stopClock();
  const records: Dict[] = Array.from({ length: count }, (_, i) => ({ ...taskNo(i) }));
  const asked: Asked[] = [];
  const hub = closing.use(
    await FakeHub.start({
      answer({ message }) {
        if (message.msg_type === 'history_request') {
          const submitted = records.filter((record) => record.submitted !== null);
          submitted.sort((a, b) => (String(a.submitted) < String(b.submitted) ? -1 : 1));
          return { status: 'ok', history: submitted.map((record) => record.msg_id) };
        }
        if (message.msg_type !== 'db_request') return undefined;
        const { query, keys } = message.content as { query: Dict; keys: string[] | null };
        const matches = recordPredicate(parseQuery(query, { dates: 'text' }));
        const found = records.filter((record) => matches(withDates(record)));
        const named = isDict(query.msg_id) ? query.msg_id.$in : undefined;
        asked.push({ ids: Array.isArray(named) ? named.length : undefined, keys, answered: found.length });
        if (keys === null || keys.some((key) => key !== 'msg_id'))
          clock.advance(found.length * options.costMs);
        if (keys?.length === 0 && options.database === 'sqlite') return answer(found.map(() => ({})));
        const wanted = keys?.length === 0 ? null : keys;
        return answer(
          found.map((record) =>
            wanted === null
              ? record
              : Object.fromEntries(['msg_id', ...wanted].map((key) => [key, record[key] ?? null])),
          ),
        );
      },
    }),
  );
  const rc = closing.use(await Client.connect({ connectionFile: hub.info }));
  return { rc, records, asked };
}

const answer = (records: readonly Dict[]): Dict => ({
  ...{ status: 'ok', records, buffer_lens: null, result_buffer_lens: null },
});

function withDates(record: Dict): Dict {
  const dates = ['submitted', 'started', 'completed', 'received'].map((key) => {
    const text = record[key];
    return [key, typeof text === 'string' ? (parseWireDate(text)?.date ?? null) : null];
  });
  return { ...record, ...Object.fromEntries(dates) };
}

describe('a stock hub with many records', () => {
  it('receives requests in slices whose size follows the time of its replies', async () => {
    for (const [costMs, least, most] of [
      [2, 15, 110],
      [0.01, 150, 900],
    ] as const) {
      const { rc, asked } = await stockHub(1_500, { database: 'dict', costMs });
      expect(await rc.dbQuery({})).toHaveLength(1_500);
      const full = asked.filter(({ keys }) => keys === null);
      expect(Math.max(...full.map(({ answered }) => answered))).toBeLessThanOrEqual(most);
      expect(Math.max(...full.map(({ ids = 0 }) => ids))).toBeGreaterThan(least);
      expect(full[0]?.ids).toBe(50);
      await closing.close();
    }
  });

  it('is queried for ids first where they are cheap, then for those records only', async () => {
    const { rc, asked } = await stockHub(1_500, { database: 'sqlite', costMs: 0.05 });
    const rows = await rc.dbQuery({ client_uuid: 'client-1', 'content.n': { $lt: 400 } }, 'queue');
    expect(rows).toHaveLength(100);
    const all = asked.filter(({ ids }) => ids === undefined && asked.length > 0);
    // These requests are for unsubmitted records, for the kind of database, and for the ids of client-1.
    expect(all.map(({ keys }) => keys)).toEqual([['msg_id'], [], ['msg_id']]);
    const slices = asked.filter(({ ids }) => ids !== undefined);
    expect(slices.reduce((sum, { ids = 0 }) => sum + ids, 0)).toBe(375);
  });

  it('returns the first record without returning all', async () => {
    const { rc, asked } = await stockHub(1_500, { database: 'dict', costMs: 0 });
    expect((await rc.dbQuery({}, 'queue').first())?.msg_id).toBe(taskNo(0).msg_id);
    expect(asked.reduce((sum, { answered }) => sum + answered, 0)).toBeLessThan(60);
  });

  it('with few records receives one request, and its size is cached', async () => {
    const { rc, asked } = await stockHub(40, { database: 'dict', costMs: 0 });
    const { sent } = rc.stats;
    expect(await rc.dbQuery({}, 'queue')).toHaveLength(40);
    expect(rc.stats.sent).toBe(sent + 2);
    expect(await rc.dbQuery({}, 'queue')).toHaveLength(40);
    expect(rc.stats.sent).toBe(sent + 3);
    expect(asked.map(({ answered }) => answered)).toEqual([40, 40]);
  });

  it('omits records that are purged during the reading, and fills their page', async () => {
    const { rc, records } = await stockHub(1_500, { database: 'dict', costMs: 0 });
    const sort = { client_uuid: -1 } as const;
    const expected = await rc.dbQuery({}, { keys: 'client_uuid', sort, limit: 200 });
    const seen: string[] = [];
    for await (const page of rc.dbQuery({}, { keys: 'client_uuid', sort, limit: 200 }).pages()) {
      if (seen.length === 0) {
        const last = expected.at(-1)?.msg_id;
        records.splice(
          records.findIndex((record) => record.msg_id === last),
          1,
        );
      }
      seen.push(...page.map(({ msg_id }) => msg_id));
    }
    expect(seen).toHaveLength(200);
    expect(seen.slice(0, 199)).toEqual(expected.slice(0, 199).map(({ msg_id }) => msg_id));
    expect(seen[199]).not.toBe(expected[199]?.msg_id);
  });
});
