// Compares the results of all subjects on the same generated queries and records.
import type { StoredTask } from '@ipyparallel-js/hub/internal';
import { Random } from '../operator-queries.js';
import { generatePagedQuery } from './generate-queries.js';
import { generateTasks } from './generate-tasks.js';
import { KINDS, kindsOf, kindsOfRecords } from './kinds.js';
import { createReference } from './reference.js';
import { type Failure, shrink } from './shrink.js';
import { type PagedQuery, type Subject, show, withoutEmpty } from './subject.js';

export interface Size {
  /** Number of queries to each subject. */
  readonly questions: number;
  /** Sizes of the sets of records, used in turn, and the number of queries for each set. */
  readonly sets: readonly { readonly records: number; readonly questions: number }[];
}

/** Results of the queries to one subject. */
interface Tally {
  same: number;
  different: number;
  readonly departures: Map<string, number>;
  readonly reports: string[];
}

/** Returns the seed of this run: `DIFFERENTIAL_SEED`, else 1, or a new seed each time if `DIFFERENTIAL` is set. */
export function seedOfRun(): number {
  const seed = process.env['DIFFERENTIAL_SEED'];
  if (seed !== undefined && seed !== '') return Number(seed);
  return process.env['DIFFERENTIAL'] === undefined ? 1 : Date.now() % 2 ** 31;
}

/** Returns the number of queries: `DIFFERENTIAL`, else `defaultCount`, which is short enough for each push. */
export function questionsOfRun(defaultCount: number): number {
  const count = Number(process.env['DIFFERENTIAL'] ?? '');
  return count > 0 ? count : defaultCount;
}

/** Maximum number of failures per subject that are reduced and reported; others are only counted. */
const MAX_REPORTS = 3;

/**
 * Compares every subject with the reference: the same ids in the same order. Prints the seed and the counts. Fails with a
 * reduced reproduction of each of the first differences.
 */
export async function runDifferential(subjects: readonly Subject[], size: Size, seed: number): Promise<void> {
  const tallies = new Map<Subject, Tally>();
  for (const subject of subjects)
    tallies.set(subject, { same: 0, different: 0, departures: new Map(), reports: [] });
  const kinds = new Map(KINDS.map((kind) => [kind, 0]));
  for (let queryCount = 0, set = 0; queryCount < size.questions; set++) {
    const random = new Random(seed + set * 7919);
    const { records, questions: maxQueries } = size.sets[set % size.sets.length] as Size['sets'][number];
    const tasks = generateTasks(random, records);
    const count = Math.min(maxQueries, size.questions - queryCount);
    const pagedQueries = Array.from({ length: count }, (_, i) => generatePagedQuery(random, tasks, i));
    queryCount += count;
    const recordKinds = kindsOfRecords(tasks);
    for (const pagedQuery of pagedQueries)
      for (const kind of kindsOf(pagedQuery, recordKinds)) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    await Promise.all(
      Array.from(tallies, ([subject, tally]) => compareAll(subject, tasks, pagedQueries, tally)),
    );
  }
  const lines = Array.from(tallies, ([subject, tally]) => lineOf(subject, tally));
  const kindCounts = Array.from(kinds, ([kind, count]) => `${kind} ${count}`).join(', ');
  console.log(
    [`differential, DIFFERENTIAL_SEED=${seed}`, ...lines, `queries with: ${kindCounts}`].join('\n  '),
  );
  const reports = [...tallies.values()].flatMap((tally) => tally.reports);
  if (reports.length > 0) throw new Error(`seed ${seed}\n${lines.join('\n')}\n\n${reports.join('\n\n')}`);
}

function lineOf(subject: Subject, { same, different, departures }: Tally): string {
  const departureCount = [...departures.values()].reduce((sum, count) => sum + count, 0);
  const kinds = Array.from(departures, ([kind, count]) => `\n      ${count} ${kind}`).join('');
  const departureText =
    departureCount === 0
      ? ''
      : `, ${departureCount} on which it departs from MongoDB's documentation:${kinds}`;
  return `${subject.name}: ${same + different + departureCount} queries, ${different} differences${departureText}`;
}

async function compareAll(
  subject: Subject,
  tasks: readonly StoredTask[],
  pagedQueries: readonly PagedQuery[],
  tally: Tally,
): Promise<void> {
  const storedTasks = await subject.load(tasks);
  const reference = createReference(storedTasks);
  const failed: Failure[] = [];
  const remainingQueries = pagedQueries.values();
  const compareNext = async (): Promise<void> => {
    for (const pagedQuery of remainingQueries) {
      const expected = expectedOf(reference, pagedQuery);
      const actual = await idsOf(subject, pagedQuery);
      if (sameIds(actual, expected)) {
        tally.same++;
        continue;
      }
      const departure = subject.departure?.(pagedQuery, storedTasks, actual);
      if (departure !== undefined) {
        tally.departures.set(departure, (tally.departures.get(departure) ?? 0) + 1);
      } else {
        tally.different++;
        failed.push({ tasks, pagedQuery });
      }
    }
  };
  await Promise.all(Array.from({ length: subject.concurrency }, compareNext));
  for (const failure of failed.slice(0, Math.max(0, MAX_REPORTS - tally.reports.length)))
    tally.reports.push(await reportOf(subject, failure));
}

function expectedOf(reference: (pagedQuery: PagedQuery) => string[], pagedQuery: PagedQuery): string[] {
  try {
    return reference(pagedQuery);
  } catch (cause) {
    throw new Error(`the reference cannot evaluate ${show(pagedQuery)}: ${String(cause)}`, { cause });
  }
}

/** Returns the ids, or the error as a text. */
async function idsOf(subject: Subject, pagedQuery: PagedQuery): Promise<readonly string[] | string> {
  try {
    return await subject.ids(pagedQuery);
  } catch (error) {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  }
}

function sameIds(actual: readonly string[] | string, expected: readonly string[]): boolean {
  return (
    typeof actual !== 'string' &&
    actual.length === expected.length &&
    actual.every((id, i) => id === expected[i])
  );
}

async function reportOf(subject: Subject, failure: Failure): Promise<string> {
  const compare = async ({ tasks, pagedQuery }: Failure) => {
    const storedTasks = await subject.load(tasks);
    return { expected: createReference(storedTasks)(pagedQuery), actual: await idsOf(subject, pagedQuery) };
  };
  const reducedFailure = await shrink(failure, async (candidate) => {
    try {
      const { expected, actual } = await compare(candidate);
      if (sameIds(actual, expected)) return false;
      return subject.departure?.(candidate.pagedQuery, candidate.tasks, actual) === undefined;
    } catch {
      // The reduced query is no longer valid.
      return false;
    }
  });
  const { expected, actual } = await compare(reducedFailure);
  return [
    `${subject.name} differs on ${show(reducedFailure.pagedQuery)}`,
    `records: ${show(reducedFailure.tasks.map(withoutEmpty))}`,
    `expected: ${show(expected)}`,
    `actual:   ${show(actual)}`,
  ].join('\n');
}
