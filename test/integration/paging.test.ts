import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '@ipyparallel-js/client';
import {
  emptyTask,
  MemoryDatabase,
  SqliteDatabase,
  type StoredTask,
  type TaskDatabase,
} from '@ipyparallel-js/hub/internal';
import { parseQuery } from '@ipyparallel-js/protocol/internal';
import { createLogger, stderrSink } from '@ipyparallel-js/wire';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Closing } from '../support/closing.js';
import { BareHub } from '../support/clusters/bare-hub.js';
import { type PagingSubject, pagingTests, taskNo } from '../support/suites/paging.js';

const add = async (db: TaskDatabase, tasks: readonly StoredTask[]): Promise<void> => {
  await db.write(tasks.map((task) => ({ op: 'add', task })));
};

const stores = {
  memory: async () => new MemoryDatabase({ recordLimit: 1_000_000 }),
  sqlite: async (closing: Closing) => {
    const location = mkdtempSync(join(tmpdir(), 'ippjs-paging-'));
    closing.use({ [Symbol.asyncDispose]: async () => rmSync(location, { recursive: true, force: true }) });
    return SqliteDatabase.open({ location }, createLogger('warn', stderrSink('sqlite')));
  },
};

for (const [name, open] of Object.entries(stores)) {
  describe(`many records at our hub with ${name}`, () => {
    const closing = new Closing();
    let subject: PagingSubject;
    let hub: BareHub;
    let db: TaskDatabase;

    beforeAll(async () => {
      db = await open(closing);
      hub = closing.use(await BareHub.start(db));
      const rc = closing.use(await Client.connect({ connectionFile: hub.info }));
      const load = async (tasks: readonly StoredTask[]): Promise<void> => {
        await db.remove({ query: parseQuery({}) });
        await add(db, tasks);
      };
      subject = { rc, load, add: (tasks) => add(db, tasks), kind: 'ours' };
    });
    afterAll(async () => {
      await closing.close();
    });

    pagingTests(() => subject);

    it('no message is much larger than a page, whatever the query selects', async () => {
      const { rc, load } = subject;
      const big = 'y'.repeat(30_000);
      await load(Array.from({ length: 300 }, (_, i) => ({ ...taskNo(i), execute_input: big })));
      hub.replies.length = 0;
      expect(await rc.dbQuery({})).toHaveLength(300);
      expect(hub.replies.length).toBeGreaterThan(3);
      expect(Math.max(...hub.replies)).toBeLessThan(4 * 2 ** 20);
      // A Python client does not request pages and receives one message.
      hub.replies.length = 0;
      expect(await rc.dbQuery({}, 'execute_input').first()).toMatchObject({ execute_input: big });
      expect(hub.replies).toHaveLength(1);
      expect(Math.max(...hub.replies)).toBeLessThan(100_000);
    });

    it('a record whose sort key changes between two pages is returned once', async () => {
      const { rc, load } = subject;
      const tasks = Array.from({ length: 4_000 }, (_, i) => ({
        ...taskNo(i),
        execute_input: 'z'.repeat(2_000),
      }));
      await load(tasks);
      const seen: string[] = [];
      const late = new Date(Date.UTC(2027, 0)).toISOString();
      for await (const page of rc.dbQuery({}, { keys: 'execute_input', sort: { completed: 1 } }).pages()) {
        seen.push(...page.map(({ msg_id }) => msg_id));
        const moved = page
          .slice(0, 20)
          .map(({ msg_id: msgId }) => ({ op: 'update', msgId, set: { completed: late } }) as const);
        await db.write(moved);
      }
      expect(new Set(seen).size).toBe(seen.length);
      expect(seen).toHaveLength(tasks.length);
    });

    it('a record that was created from output alone is returned once when its request arrives', async () => {
      const { rc, load } = subject;
      const ghost = emptyTask('ghost');
      await load([
        ghost,
        ...Array.from({ length: 2_000 }, (_, i) => ({ ...taskNo(i), execute_input: 'z'.repeat(2_000) })),
      ]);
      const seen: string[] = [];
      for await (const page of rc.dbQuery({}).pages()) {
        if (seen.length === 0) {
          expect(page[0]?.msg_id).toBe('ghost');
          await db.write([
            { op: 'update', msgId: 'ghost', set: { submitted: new Date(Date.UTC(2026, 5)).toISOString() } },
          ]);
        }
        seen.push(...page.map(({ msg_id }) => msg_id));
      }
      expect(seen.filter((id) => id === 'ghost')).toHaveLength(1);
      expect(seen).toHaveLength(2_001);
    });
  });
}
