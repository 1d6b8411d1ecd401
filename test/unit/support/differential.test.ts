// Tests the differential test itself: it must generate all kinds of queries and detect wrong results.
import type { StoredTask } from '@ipyparallel-js/hub/internal';
import { describe, expect, test, vi } from 'vitest';
import { generatePagedQuery } from '../../support/generators/differential/generate-queries.js';
import { generateTasks } from '../../support/generators/differential/generate-tasks.js';
import { KINDS, kindsOf, kindsOfRecords } from '../../support/generators/differential/kinds.js';
import { createReference } from '../../support/generators/differential/reference.js';
import { runDifferential } from '../../support/generators/differential/run.js';
import type { PagedQuery, Subject } from '../../support/generators/differential/subject.js';
import { Random } from '../../support/generators/operator-queries.js';

const SEED = 20_260_101;

/** Returns the results of the reference, changed by a function. */
class WrongSubject implements Subject {
  readonly name = 'a wrong store';
  readonly concurrency = 1;
  readonly #wrong: (
    ids: readonly string[],
    pagedQuery: PagedQuery,
    tasks: readonly StoredTask[],
  ) => readonly string[];
  #tasks: readonly StoredTask[] = [];

  constructor(
    wrong: (
      ids: readonly string[],
      pagedQuery: PagedQuery,
      tasks: readonly StoredTask[],
    ) => readonly string[],
  ) {
    this.#wrong = wrong;
  }

  async load(tasks: readonly StoredTask[]): Promise<readonly StoredTask[]> {
    this.#tasks = tasks;
    return tasks;
  }

  async ids(pagedQuery: PagedQuery): Promise<readonly string[]> {
    return this.#wrong(createReference(this.#tasks)(pagedQuery), pagedQuery, this.#tasks);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

async function run(subject: Subject, questions = 600): Promise<string> {
  const print = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  try {
    await runDifferential([subject], { questions, sets: [{ records: 30, questions: 150 }] }, SEED);
    return '';
  } catch (error) {
    return (error as Error).message;
  } finally {
    print.mockRestore();
  }
}

const contains = ({ query }: PagedQuery, text: string): boolean => JSON.stringify(query).includes(text);

describe('the differential test', () => {
  test('generates all kinds of queries often', () => {
    const counts = new Map(KINDS.map((kind) => [kind, 0]));
    for (let set = 0; set < 5; set++) {
      const random = new Random(SEED + set * 7919);
      const tasks = generateTasks(random, 60);
      const known = kindsOfRecords(tasks);
      for (let i = 0; i < 600; i++)
        for (const kind of kindsOf(generatePagedQuery(random, tasks, i), known))
          counts.set(kind, (counts.get(kind) ?? 0) + 1);
    }
    expect([...counts.keys()]).toEqual([...KINDS]);
    expect([...counts].filter(([, count]) => count < 10)).toEqual([]);
  });

  test('generates many queries with matches, and few that match all records', () => {
    const random = new Random(SEED);
    const tasks = generateTasks(random, 60);
    const resultOf = createReference(tasks);
    let some = 0;
    let all = 0;
    for (let i = 0; i < 1000; i++) {
      const { query } = generatePagedQuery(random, tasks, i);
      const found = resultOf({ query }).length;
      if (found > 0 && found < tasks.length) some++;
      if (found === tasks.length) all++;
    }
    expect(some).toBeGreaterThan(300);
    expect(all).toBeLessThan(500);
  });

  test('accepts correct results', async () => {
    expect(await run(new WrongSubject((ids) => ids))).toBe('');
  });

  const faults: readonly (readonly [
    string,
    (ids: readonly string[], pagedQuery: PagedQuery, tasks: readonly StoredTask[]) => readonly string[],
  ])[] = [
    [
      'omits records without a label for $ne or $nin',
      (ids, pagedQuery, tasks) => {
        if (!/"label":\{[^}]*"\$(ne|nin)"/.test(JSON.stringify(pagedQuery.query))) return ids;
        const without = new Set(tasks.filter(({ label }) => label === null).map(({ msg_id }) => msg_id));
        return ids.filter((id) => !without.has(id));
      },
    ],
    [
      'compares dates to the microsecond',
      (ids, pagedQuery, tasks) => {
        if (!contains(pagedQuery, '"$lte":"2026')) return ids;
        const withMicroseconds = tasks.filter(({ submitted }) => /\.\d{3}(?!000)\d{3}/.test(submitted ?? ''));
        return ids.filter((id) => !withMicroseconds.some(({ msg_id }) => msg_id === id));
      },
    ],
    ['orders ties in reverse', (ids, { sort }) => (sort === undefined ? ids : ids.toReversed())],
    [
      'returns one record too many',
      (ids, { limit }, tasks) => (limit === 1 ? [...ids, tasks[0]?.msg_id ?? ''] : ids),
    ],
    [
      'returns a record twice',
      (ids, pagedQuery) => (contains(pagedQuery, '$or') ? [...ids, ...ids.slice(0, 1)] : ids),
    ],
    [
      'matches nothing for an empty $nin',
      (ids, pagedQuery) => (contains(pagedQuery, '"$nin":[]') ? [] : ids),
    ],
    [
      'refuses lists of 5,000',
      (ids, pagedQuery) => {
        if (contains(pagedQuery, 'filler 4994')) throw new Error('too many SQL variables');
        return ids;
      },
    ],
  ];
  for (const [fault, wrong] of faults) {
    test(`detects a store that ${fault}, with a small report`, async () => {
      const report = await run(new WrongSubject(wrong));
      expect(report).toContain('a wrong store differs on');
      const first = report.slice(report.indexOf('a wrong store differs on')).split('\n\n')[0] ?? '';
      const records = first.slice(first.indexOf('records: '), first.indexOf('expected: '));
      expect(records.match(/msg_id: '/g)?.length ?? 0).toBeLessThanOrEqual(4);
      expect(first.slice(0, first.indexOf('records: ')).length).toBeLessThan(
        fault.includes('5,000') ? 5000 : 700,
      );
      expect(first).toMatch(/expected: /);
      expect(first).toMatch(/actual: /);
    }, 120_000);
  }
});
