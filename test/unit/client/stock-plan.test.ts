// The requests that a stock hub receives: supersets of the query that no stock database refuses.
import { planQuery } from '@ipyparallel-js/client/internal';
import type { Dict } from '@ipyparallel-js/protocol';
import { parseQuery } from '@ipyparallel-js/protocol/internal';
import { describe, expect, it } from 'vitest';

const plan = (query: unknown): readonly Dict[] =>
  planQuery(parseQuery(query), { kind: 'stock', label: true }).queries;

const EVERYTHING = { msg_id: { $ne: null } };
const at = (ms: number): Date => new Date(Date.UTC(2026, 0, 1) + ms);

describe('$or', () => {
  it('over values of one key becomes one list', () => {
    expect(plan({ $or: [{ msg_id: 'a' }, { msg_id: { $in: ['b', 'c'] } }, { msg_id: 'a' }] })).toEqual([
      { msg_id: { $ne: null, $in: ['a', 'b', 'c'] } },
    ]);
  });

  it('over several keys becomes one request per key, with the other conditions', () => {
    expect(plan({ client_uuid: 'me', $or: [{ queue: 'mux' }, { stdout: { $gte: 'x' } }] })).toEqual([
      { client_uuid: { $ne: null, $eq: 'me' }, queue: { $ne: null, $in: ['mux'] } },
      { client_uuid: { $ne: null, $eq: 'me' }, stdout: { $ne: null, $gte: 'x' } },
    ]);
  });

  it('is evaluated by the client if the client evaluates one of its branches', () => {
    expect(plan({ $or: [{ queue: 'mux' }, { 'content.a': 1 }] })).toEqual([EVERYTHING]);
    expect(plan({ $or: [{ queue: 'mux' }, {}] })).toEqual([EVERYTHING]);
    expect(plan({ started: null, $or: [{ queue: 'mux' }, { 'content.a': 1 }] })).toContainEqual({
      started: { $eq: null },
    });
  });

  it('with too many branches is evaluated by the client; the hub still receives the other conditions', () => {
    const $or = Array.from({ length: 17 }, (_, i) => ({ stdout: { $gt: `${i}` }, queue: 'mux' }));
    expect(plan({ client_uuid: 'me', $or })).toEqual([{ client_uuid: { $ne: null, $eq: 'me' } }]);
    expect(plan({ $or: $or.slice(1) })).toHaveLength(16);
    // Two of them would multiply the requests, so the smaller one is sent.
    expect(plan({ $and: [{ $or: $or.slice(0, 10) }, { $or: [{ stderr: 'a' }, { label: 'b' }] }] })).toEqual([
      { stderr: { $ne: null, $in: ['a'] } },
      { label: { $ne: null, $in: ['b'] } },
    ]);
  });

  it('requests nulls before values, because a hub fills columns in and never empties them', () => {
    expect(plan({ $or: [{ completed: { $gte: at(0) } }, { started: at(0), completed: null }] })).toEqual([
      { started: { $ne: null, $gte: at(0), $lt: at(1) }, completed: { $eq: null } },
      { completed: { $ne: null, $gte: at(0) } },
    ]);
  });

  it('orders requests in the order in which a record can move between them', () => {
    const requests = plan({
      $or: [
        { queue: null, label: { $ne: null } },
        { queue: { $ne: null }, stdout: { $ne: null } },
        { label: null, stderr: { $ne: null } },
      ],
    });
    expect(requests.map((request) => Object.keys(request).join())).toEqual([
      'label,stderr',
      'queue,label',
      'queue,stdout',
    ]);
  });

  it('sends no request if it cannot match', () => {
    expect(plan({ $or: [{ msg_id: { $in: [] } }, { queue: { $gt: null } }] })).toEqual([]);
    expect(plan({ $nor: [{}] })).toEqual([]);
    expect(plan({ queue: { $exists: false } })).toEqual([]);
  });
});

describe('$not and $nor', () => {
  it('become the opposite operator where one exists', () => {
    expect(plan({ queue: { $not: { $ne: 'mux' } } })).toEqual([{ queue: { $ne: null, $eq: 'mux' } }]);
    expect(plan({ queue: { $not: { $not: { $eq: 'mux' } } } })).toEqual([
      { queue: { $ne: null, $eq: 'mux' } },
    ]);
    expect(plan({ completed: { $not: { $eq: null } } })).toEqual([{ completed: { $ne: null } }]);
    expect(plan({ submitted: { $not: { $gte: at(0) } } })).toEqual([
      { submitted: { $eq: null } },
      { submitted: { $ne: null, $lt: at(0) } },
    ]);
    expect(plan({ $nor: [{ completed: null }, { queue: { $nin: ['mux'] } }] })).toEqual([
      { completed: { $ne: null }, queue: { $ne: null, $in: ['mux'] } },
    ]);
    expect(plan({ $nor: [{ queue: 'mux', completed: null }] })).toEqual(
      expect.arrayContaining([{ completed: { $ne: null } }]),
    );
  });

  it('are evaluated by the client otherwise', () => {
    expect(plan({ stdout: { $not: /x/ } })).toEqual([EVERYTHING]);
    expect(plan({ stdout: { $not: { $gt: 'a', $lt: 'b' } } })).toEqual([EVERYTHING]);
  });
});

describe('a pattern', () => {
  it.each<[unknown, unknown]>([
    [{ $glob: 'abc*' }, { $ne: null, $gte: 'abc', $lt: 'abd' }],
    [/^abc/, { $ne: null, $gte: 'abc', $lt: 'abd' }],
    [/^a\.b[cd]/, { $ne: null, $gte: 'a.b', $lt: 'a.c' }],
    [/^abc*/, { $ne: null, $gte: 'ab', $lt: 'ac' }],
    [/^abc?x/, { $ne: null, $gte: 'ab', $lt: 'ac' }],
    [/^ab{2}/, { $ne: null, $gte: 'a', $lt: 'b' }],
    [/^ab+/, { $ne: null, $gte: 'ab', $lt: 'ac' }],
    [{ $regex: '^a\u{d7ff}' }, { $ne: null, $gte: 'a\ud7ff', $lt: 'a\ue000' }],
    [{ $regex: '^a\u{10ffff}' }, { $ne: null, $gte: 'a\u{10ffff}' }],
    [/^2026-01-01 1/, undefined],
    [/abc/, undefined],
    [/^abc|x/, undefined],
    [/^abc/i, undefined],
    [/^abc/m, undefined],
    [/^(abc)/, undefined],
    [/^\d/, undefined],
    [{ $glob: '*abc' }, undefined],
  ])('%o is sent as %o', (condition, expected) => {
    const requests = plan({ stdout: condition });
    if (expected === undefined) expect(requests).toEqual([{ stdout: { $ne: null } }]);
    else expect(requests).toEqual([{ stdout: expected }]);
  });
});

describe('any query', () => {
  it('sends no list that is empty or too long, and only operators that every hub supports', () => {
    const ids = Array.from({ length: 2_000 }, (_, i) => `id-${i}`);
    for (const query of [
      { $or: [{ msg_id: { $in: ids } }, { queue: 'mux', client_uuid: { $in: ids } }] },
      { $nor: [{ msg_id: { $nin: ids } }, { client_uuid: { $in: ids } }] },
      { msg_id: { $all: ['a'], $exists: true, $type: 'string', $not: { $in: [] } } },
      { content: { $exists: true }, 'content.a': { $size: 1, $mod: [2, 1], $elemMatch: { a: 1 } } },
    ]) {
      const requests = plan(query);
      expect(requests.length).toBeGreaterThan(0);
      for (const request of requests) {
        expect(request).not.toEqual({});
        for (const condition of Object.values(request) as Dict[]) {
          for (const [operator, operand] of Object.entries(condition)) {
            expect(['$eq', '$ne', '$gte', '$lt', '$lte', '$in', '$nin']).toContain(operator);
            if (!Array.isArray(operand)) continue;
            expect(operand.length).toBeGreaterThan(0);
            expect(operand.length).toBeLessThanOrEqual(900);
          }
        }
      }
    }
  });
});
