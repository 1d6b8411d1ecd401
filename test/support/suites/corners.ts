// The corner cases of the query language, for every store. The expected results follow MongoDB's manual.
import { emptyTask, type StoredTask } from '@ipyparallel-js/hub/internal';
import type { Dict } from '@ipyparallel-js/protocol';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Subject } from '../generators/differential/subject.js';
import { CORNER_QUERIES } from '../generators/query-corners.js';

/** Rewrites a query of `v` as a query of `content.v`. */
export function ofContent(query: { readonly [key: string]: unknown }): Dict {
  const entries = Object.entries(query).map(([key, value]) => {
    if (['$and', '$or', '$nor'].includes(key) && Array.isArray(value))
      return [
        key,
        value.map((branch: unknown) => (typeof branch === 'object' ? ofContent(branch as Dict) : branch)),
      ];
    return [key.startsWith('$') ? key : `content.${key}`, value];
  });
  return Object.fromEntries(entries) as Dict;
}

const idOf = (index: number): string => `t${String(index).padStart(2, '0')}`;

export function describeCorners(name: string, open: () => Promise<Subject>): void {
  describe(`corner cases of the query language: ${name}`, () => {
    let subject: Subject;
    beforeAll(async () => {
      subject = await open();
    });
    afterAll(() => subject[Symbol.asyncDispose]());

    test.each(CORNER_QUERIES)('$about', async ({ values, finds }) => {
      const tasks = values.map(
        (v, i): StoredTask => ({
          ...emptyTask(idOf(i)),
          submitted: `2026-01-01T00:00:00.${String(i).padStart(3, '0')}000Z`,
          content: (v === undefined ? {} : { v }) as Dict,
        }),
      );
      await subject.load(tasks);
      const wrong: unknown[] = [];
      for (const [query, indices] of finds) {
        const ids = await subject.ids({ query: ofContent(query) });
        const wanted = indices.map(idOf);
        if (ids.join() !== wanted.join()) wrong.push({ query, wanted, ids });
      }
      expect(wrong).toEqual([]);
    });

    test('the range of dates, and nulls', async () => {
      const at = (completed: string | null, i: number): StoredTask => ({
        ...emptyTask(idOf(i)),
        submitted: '2026-01-01T00:00:00.000000Z',
        completed,
      });
      await subject.load(
        [
          null,
          '2026-01-01T00:00:00.000000Z',
          '2026-01-01T00:00:00.000999Z',
          '2026-01-01T00:00:00.001000Z',
        ].map(at),
      );
      const first = new Date('2026-01-01T00:00:00.000Z');
      const cases: [Dict, number[]][] = [
        [{ completed: first }, [1, 2]],
        [{ completed: { $ne: first } }, [0, 3]],
        [{ completed: { $gt: first } }, [3]],
        [{ completed: { $gte: new Date(-8.64e15), $lte: new Date(8.64e15) } }, [1, 2, 3]],
        [{ completed: { $lt: new Date(8.64e15) } }, [1, 2, 3]],
        [{ completed: { $lt: new Date(-8.64e15) } }, []],
        [{ completed: { $not: { $gte: first } } }, [0]],
        [{ completed: { $nin: [null, first] } }, [3]],
        [{ completed: { $in: [new Date(8.64e15), null] } }, [0]],
        [{ completed: { $gte: null } }, [0]],
        [{ completed: { $type: 'date' } }, [1, 2, 3]],
        [{ completed: { $exists: true } }, [0, 1, 2, 3]],
      ];
      for (const [query, indices] of cases) {
        expect({ query, ids: await subject.ids({ query }) }).toEqual({ query, ids: indices.map(idOf) });
      }
    });
  });
}
