// The differential test put to the test: that what it promises to ask does occur, and that it catches what is wrong.
import type { StoredTask } from '@ipyparallel-js/hub/internal';
import { describe, expect, test, vi } from 'vitest';
import { generateQuestion } from '../../support/generators/differential/generate-questions.js';
import { generateTasks } from '../../support/generators/differential/generate-tasks.js';
import { KINDS, kindsOf, kindsOfRecords } from '../../support/generators/differential/kinds.js';
import { answerTo } from '../../support/generators/differential/reference.js';
import { runDifferential } from '../../support/generators/differential/run.js';
import type { Question, Subject } from '../../support/generators/differential/subject.js';
import { Random } from '../../support/generators/operator-queries.js';

const SEED = 20_260_101;

/** Answers as the reference does, but for one thing. */
class WrongSubject implements Subject {
  readonly name = 'a wrong store';
  readonly concurrency = 1;
  readonly #wrong: (
    ids: readonly string[],
    question: Question,
    tasks: readonly StoredTask[],
  ) => readonly string[];
  #tasks: readonly StoredTask[] = [];

  constructor(
    wrong: (ids: readonly string[], question: Question, tasks: readonly StoredTask[]) => readonly string[],
  ) {
    this.#wrong = wrong;
  }

  async load(tasks: readonly StoredTask[]): Promise<readonly StoredTask[]> {
    this.#tasks = tasks;
    return tasks;
  }

  async ids(question: Question): Promise<readonly string[]> {
    return this.#wrong(answerTo(this.#tasks)(question), question, this.#tasks);
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

const asks = ({ query }: Question, text: string): boolean => JSON.stringify(query).includes(text);

describe('the differential test', () => {
  test('asks everything that it promises, often', () => {
    const counts = new Map(KINDS.map((kind) => [kind, 0]));
    for (let set = 0; set < 5; set++) {
      const random = new Random(SEED + set * 7919);
      const tasks = generateTasks(random, 60);
      const known = kindsOfRecords(tasks);
      for (let i = 0; i < 600; i++)
        for (const kind of kindsOf(generateQuestion(random, tasks, i), known))
          counts.set(kind, (counts.get(kind) ?? 0) + 1);
    }
    expect([...counts.keys()]).toEqual([...KINDS]);
    expect([...counts].filter(([, count]) => count < 10)).toEqual([]);
  });

  test('asks questions of which many have an answer, and few all records', () => {
    const random = new Random(SEED);
    const tasks = generateTasks(random, 60);
    const answers = answerTo(tasks);
    let some = 0;
    let all = 0;
    for (let i = 0; i < 1000; i++) {
      const { query } = generateQuestion(random, tasks, i);
      const found = answers({ query }).length;
      if (found > 0 && found < tasks.length) some++;
      if (found === tasks.length) all++;
    }
    expect(some).toBeGreaterThan(300);
    expect(all).toBeLessThan(500);
  });

  test('finds nothing wrong with what is right', async () => {
    expect(await run(new WrongSubject((ids) => ids))).toBe('');
  });

  const wrongs: readonly (readonly [
    string,
    (ids: readonly string[], question: Question, tasks: readonly StoredTask[]) => readonly string[],
  ])[] = [
    [
      'forgets records without a label when $ne or $nin asks for it',
      (ids, question, tasks) => {
        if (!/"label":\{[^}]*"\$(ne|nin)"/.test(JSON.stringify(question.query))) return ids;
        const without = new Set(tasks.filter(({ label }) => label === null).map(({ msg_id }) => msg_id));
        return ids.filter((id) => !without.has(id));
      },
    ],
    [
      'compares dates at the microsecond',
      (ids, question, tasks) => {
        if (!asks(question, '"$lte":"2026')) return ids;
        const odd = tasks.filter(({ submitted }) => /\.\d{3}(?!000)\d{3}/.test(submitted ?? ''));
        return ids.filter((id) => !odd.some(({ msg_id }) => msg_id === id));
      },
    ],
    ['breaks ties the wrong way round', (ids, { sort }) => (sort === undefined ? ids : ids.toReversed())],
    ['gives one too many', (ids, { limit }, tasks) => (limit === 1 ? [...ids, tasks[0]?.msg_id ?? ''] : ids)],
    ['gives one twice', (ids, question) => (asks(question, '$or') ? [...ids, ...ids.slice(0, 1)] : ids)],
    ['finds nothing by an empty $nin', (ids, question) => (asks(question, '"$nin":[]') ? [] : ids)],
    [
      'takes no lists of 5,000',
      (ids, question) => {
        if (asks(question, 'filler 4994')) throw new Error('too many SQL variables');
        return ids;
      },
    ],
  ];
  for (const [what, wrong] of wrongs) {
    test(`catches a store that ${what}, and shows little`, async () => {
      const report = await run(new WrongSubject(wrong));
      expect(report).toContain('a wrong store differs on');
      const first = report.slice(report.indexOf('a wrong store differs on')).split('\n\n')[0] ?? '';
      const records = first.slice(first.indexOf('records: '), first.indexOf('wanted: '));
      expect(records.match(/msg_id: '/g)?.length ?? 0).toBeLessThanOrEqual(4);
      expect(first.slice(0, first.indexOf('records: ')).length).toBeLessThan(
        what.includes('5,000') ? 5000 : 700,
      );
      expect(first).toMatch(/wanted: /);
      expect(first).toMatch(/given: /);
    }, 120_000);
  }
});
