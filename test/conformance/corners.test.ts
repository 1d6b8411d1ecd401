// The hard corners of the language, on every store and through a client: what MongoDB's manual says, no more, no less.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  emptyTask,
  MemoryDatabase,
  MongoDatabase,
  SqliteDatabase,
  type StoredTask,
} from '@ipyparallel-js/hub/internal';
import { type Dict, InvalidQueryError } from '@ipyparallel-js/protocol';
import { parseQuery } from '@ipyparallel-js/protocol/internal';
import { createLogger, stderrSink } from '@ipyparallel-js/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeMongo, MongoServer } from '../support/clusters/mongo-server.js';
import { EmbeddedSubject } from '../support/generators/differential/embedded-subject.js';
import { NaiveSubject, WireSubject } from '../support/generators/differential/reference.js';
import { StoreSubject } from '../support/generators/differential/store-subject.js';
import type { Subject } from '../support/generators/differential/subject.js';
import { CORNERS, REFUSED } from '../support/generators/query-corners.js';

const log = createLogger('error', stderrSink('corners'));

/** The query about `content.v` instead of `v`. */
function ofContent(query: { readonly [key: string]: unknown }): Dict {
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

function describeCorners(name: string, open: () => Promise<Subject>): void {
  describe(`corners of the language: ${name}`, () => {
    let subject: Subject;
    beforeAll(async () => {
      subject = await open();
    });
    afterAll(() => subject[Symbol.asyncDispose]());

    test.each(CORNERS)('$about', async ({ values, finds }) => {
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

    test('dates as far as they go, and nulls beside them', async () => {
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

describe('what MongoDB refuses', () => {
  test.each(REFUSED)('%j', (query) => {
    expect(() => parseQuery(ofContent(query))).toThrow(InvalidQueryError);
  });
});

describeCorners('a naive evaluator', async () => new NaiveSubject());
describeCorners('questions as they travel', async () => new WireSubject());
describeCorners('memory', async () => new StoreSubject('memory', async () => new MemoryDatabase()));
describeCorners('a client and a controller', async () => new EmbeddedSubject());

describe('SQLite', () => {
  let location: string;
  beforeAll(() => {
    location = mkdtempSync(join(tmpdir(), 'ippjs-corners-'));
  });
  afterAll(() => rmSync(location, { recursive: true }));
  describeCorners(
    'SQLite',
    async () => new StoreSubject('SQLite', () => SqliteDatabase.open({ location }, log)),
  );
});

describeMongo('MongoDB', () => {
  let server: MongoServer;
  beforeAll(async () => {
    server = await MongoServer.start();
  });
  afterAll(() => server[Symbol.asyncDispose]());
  describeCorners('MongoDB', async () => {
    const database = server.newDatabase();
    const open = () => MongoDatabase.open({ uri: server.uri, database }, { log, session: 'corners' });
    return new StoreSubject('MongoDB', open);
  });
});
