// The operator tests of one hub: all cases and generated queries.
import type { Client } from '@ipyparallel-js/client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Closing } from '../../closing.js';
import { generateQueries, matchesQuery, Random } from '../../generators/operator-queries.js';
import { type Case, cases } from './cases.js';
import type { Workload } from './workload.js';

/** A hub that holds the workload. */
export interface Subject {
  readonly rc: Client;
  readonly workload: Workload;
}

/** The records that each case has selected, under names that are equal on every hub. */
export type Selections = Map<string, readonly string[]>;

/** `OPERATORS_QUERIES` sets the number of generated queries, `OPERATORS_SEED` reproduces a run. */
const generated = Number(process.env.OPERATORS_QUERIES ?? 3_000);
const seed = Number(process.env.OPERATORS_SEED ?? Date.now() % 2 ** 32);
const concurrency = 20;

/** Creates a subject before the tests of a describe, and closes its parts after them. */
export function setUp(make: (closing: Closing) => Promise<Subject>): () => Subject {
  let subject: Subject | undefined;
  const closing = new Closing();
  beforeAll(async () => {
    subject = await make(closing);
  });
  afterAll(async () => {
    await closing.close();
  });
  return () => {
    if (subject === undefined) throw new Error('the subject could not be set up');
    return subject;
  };
}

export function operatorTests(subject: () => Subject): Selections {
  const selections: Selections = new Map();

  it('selects the same records as a plain predicate for every query of the table of operators', async () => {
    const { rc, workload } = subject();
    const wrong: string[] = [];
    for (const one of cases) {
      const wanted = workload.records
        .filter((record) => one.keep(record, workload))
        .map(({ msg_id }) => msg_id)
        .sort();
      const answer = await selectIds(rc, one, workload);
      if (JSON.stringify(answer) !== JSON.stringify(wanted)) {
        wrong.push(`${one.name}: ${String(answer)}; a plain predicate: ${String(wanted)}`);
      }
      if (Array.isArray(answer)) selections.set(one.name, answer.map(workload.nameOf).sort());
    }
    expect(wrong).toEqual([]);
    // The cases must select different numbers of records, or the comparison would prove little.
    const sizes = new Set([...selections.values()].map((ids) => ids.length));
    expect(sizes.size).toBeGreaterThan(8);
  });

  it(`selects the same records as a plain predicate for ${generated} generated queries`, {
    timeout: 60_000 + generated * 30,
  }, async () => {
    const { rc, workload } = subject();
    console.info(`OPERATORS_SEED=${seed}`);
    const queries = generateQueries(workload.records, new Random(seed));
    for (let done = 0; done < generated; done += concurrency) {
      const chunk = Array.from(
        { length: Math.min(concurrency, generated - done) },
        () => queries.next().value,
      );
      await Promise.all(
        chunk.map(async (query) => {
          const wanted = workload.records
            .filter((record) => matchesQuery(query, record))
            .map(({ msg_id }) => msg_id);
          const rows = await rc.dbQuery(query, 'msg_id').then(
            (answer) => answer.map(({ msg_id }) => msg_id),
            (error: unknown) => [String(error)],
          );
          expect(rows.sort(), `seed ${seed}: ${shorten(query)}`).toEqual(wanted.sort());
        }),
      );
    }
  });

  return selections;
}

async function selectIds(rc: Client, one: Case, workload: Workload): Promise<string[] | Error> {
  try {
    const rows = await rc.dbQuery(one.query(workload), 'msg_id');
    return rows.map(({ msg_id }) => msg_id).sort();
  } catch (error) {
    return error as Error;
  }
}

function shorten(query: unknown): string {
  const text = JSON.stringify(query);
  return text.length > 2_000 ? `${text.slice(0, 2_000)}…` : text;
}
