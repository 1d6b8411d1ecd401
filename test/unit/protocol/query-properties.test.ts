// Properties of every query, tested on generated queries. `QUERY_SEED` repeats a run, `QUERY_COUNT` sets the number of queries.
import { planQuery } from '@ipyparallel-js/client/internal';
import type { Dict } from '@ipyparallel-js/protocol';
import { formatWireDate, InvalidQueryError } from '@ipyparallel-js/protocol';
import { parseQuery, type QueryNode, recordPredicate, toWireQuery } from '@ipyparallel-js/protocol/internal';
import { expect, it } from 'vitest';
import { generatePagedQuery } from '../../support/generators/differential/generate-queries.js';
import { generateTasks } from '../../support/generators/differential/generate-tasks.js';
import { recordsOf } from '../../support/generators/differential/reference.js';
import { reduceValue } from '../../support/generators/differential/shrink.js';
import { naivelyMatches } from '../../support/generators/naive-evaluator.js';
import { Random } from '../../support/generators/operator-queries.js';

const count = Number(process.env.QUERY_COUNT ?? 3_000);
/** A long run has no timeout. */
const TIMEOUT = process.env.QUERY_COUNT === undefined ? 120_000 : 0;
// The queries are the same in every run, unless QUERY_COUNT is set.
const seed = Number(
  process.env.QUERY_SEED ?? (process.env.QUERY_COUNT === undefined ? 1 : Date.now() % 2 ** 32),
);

/** Runs a check on generated queries, and shrinks a query that fails it. */
function forAll(
  salt: number,
  check: (query: Dict, node: QueryNode, records: readonly Dict[]) => string | undefined,
): void {
  const random = new Random(seed + salt);
  let checked = 0;
  for (let i = 0; i < count; ) {
    const tasks = generateTasks(random, 40);
    const records = recordsOf(tasks) as unknown as readonly Dict[];
    for (let n = 0; n < 100 && i < count; n++, i++) {
      const { query } = generatePagedQuery(random, tasks);
      const failure = (candidate: unknown): string | undefined => {
        let node: QueryNode;
        try {
          node = parseQuery(candidate);
        } catch (error) {
          if (error instanceof InvalidQueryError) return undefined;
          throw error;
        }
        checked++;
        return check(candidate as Dict, node, records);
      };
      if (failure(query) === undefined) continue;
      let worst: unknown = query;
      for (let smaller: unknown = query; smaller !== undefined; ) {
        worst = smaller;
        smaller = [...reduceValue(worst)].find((candidate) => failure(candidate) !== undefined);
      }
      expect.fail(`QUERY_SEED=${seed}: ${JSON.stringify(worst, readable)}: ${failure(worst)}`);
    }
  }
  // Only a few generated queries may be invalid.
  expect(checked).toBeGreaterThan(count * 0.9);
}

const readable = (_: string, value: unknown): unknown => (value instanceof RegExp ? String(value) : value);

it(`${count} queries match the same records in the evaluator and in the naive evaluator`, {
  timeout: TIMEOUT,
}, () => {
  forAll(1, (query, node, records) => {
    const matches = recordPredicate(node);
    const wrong = records.find((record) => matches(record) !== naivelyMatches(query, record));
    return wrong && `${matches(wrong)} for ${JSON.stringify(wrong)}`;
  });
});

it(`${count} queries parse to the same tree from their wire form`, { timeout: TIMEOUT }, () => {
  forAll(2, (_, node) => {
    const wire = toWireQuery(node);
    try {
      expect(parseQuery(wire)).toEqual(node);
      const text = JSON.stringify(wire, function (key, value: unknown) {
        const raw: unknown = (this as Dict)[key];
        // Dates outside the four-digit years have JavaScript's format.
        return raw instanceof Date && raw.toISOString().length === 24 ? formatWireDate(raw) : value;
      });
      expect(parseQuery(JSON.parse(text), { dates: 'text' })).toEqual(node);
      return undefined;
    } catch (error) {
      return String(error);
    }
  });
});

it(`the requests for ${count} queries to a stock hub return every match`, { timeout: TIMEOUT }, () => {
  forAll(3, (_, node, records) => {
    const matches = recordPredicate(node);
    const plan = planQuery(node, { kind: 'stock', label: true }).queries;
    if (plan.length > 200) return `${plan.length} requests`;
    const requests = plan.map((query) => recordPredicate(parseQuery(query)));
    const missed = records.find(
      (record) => matches(record) && !requests.some((matchesRequest) => matchesRequest(record)),
    );
    return missed && `${JSON.stringify(plan)} misses ${JSON.stringify(missed)}`;
  });
});
