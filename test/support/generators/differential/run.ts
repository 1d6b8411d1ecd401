// Compares the results of all subjects on the same generated questions and records.
import type { StoredTask } from '@ipyparallel-js/hub/internal';
import { Random } from '../operator-queries.js';
import { generateQuestion } from './generate-questions.js';
import { generateTasks } from './generate-tasks.js';
import { KINDS, kindsOf, kindsOfRecords } from './kinds.js';
import { answerTo } from './reference.js';
import { type Failure, shrink } from './shrink.js';
import { type Question, type Subject, show, withoutEmpty } from './subject.js';

export interface Size {
  /** Number of questions to each subject. */
  readonly questions: number;
  /** Sizes of the sets of records, used in turn, and the number of questions about each set. */
  readonly sets: readonly { readonly records: number; readonly questions: number }[];
}

/** Results of the questions to one subject. */
interface Tally {
  same: number;
  different: number;
  readonly departures: Map<string, number>;
  readonly reports: string[];
}

/** Returns the seed of this run: `DIFFERENTIAL_SEED`, else 1, or a new seed each time if `DIFFERENTIAL` is set. */
export function seedOfRun(): number {
  const given = process.env['DIFFERENTIAL_SEED'];
  if (given !== undefined && given !== '') return Number(given);
  return process.env['DIFFERENTIAL'] === undefined ? 1 : Date.now() % 2 ** 31;
}

/** Returns the number of questions: `DIFFERENTIAL`, else `usual`, which is short enough for each push. */
export function questionsOfRun(usual: number): number {
  const given = Number(process.env['DIFFERENTIAL'] ?? '');
  return given > 0 ? given : usual;
}

/** Maximum number of failures per subject that are reduced and reported; others are only counted. */
const REPORTS = 3;

/**
 * Compares every subject with the reference: the same ids in the same order. Prints the seed and the counts. Fails with a
 * reduced reproduction of each of the first differences.
 */
export async function runDifferential(subjects: readonly Subject[], size: Size, seed: number): Promise<void> {
  const tallies = new Map<Subject, Tally>();
  for (const subject of subjects)
    tallies.set(subject, { same: 0, different: 0, departures: new Map(), reports: [] });
  const kinds = new Map(KINDS.map((kind) => [kind, 0]));
  for (let asked = 0, set = 0; asked < size.questions; set++) {
    const random = new Random(seed + set * 7919);
    const { records, questions: most } = size.sets[set % size.sets.length] as Size['sets'][number];
    const tasks = generateTasks(random, records);
    const count = Math.min(most, size.questions - asked);
    const questions = Array.from({ length: count }, (_, i) => generateQuestion(random, tasks, i));
    asked += count;
    const known = kindsOfRecords(tasks);
    for (const question of questions)
      for (const kind of kindsOf(question, known)) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    await Promise.all(Array.from(tallies, ([subject, tally]) => askAll(subject, tasks, questions, tally)));
  }
  const lines = Array.from(tallies, ([subject, tally]) => lineOf(subject, tally));
  const met = Array.from(kinds, ([kind, count]) => `${kind} ${count}`).join(', ');
  console.log([`differential, DIFFERENTIAL_SEED=${seed}`, ...lines, `questions with: ${met}`].join('\n  '));
  const reports = [...tallies.values()].flatMap((tally) => tally.reports);
  if (reports.length > 0) throw new Error(`seed ${seed}\n${lines.join('\n')}\n\n${reports.join('\n\n')}`);
}

function lineOf(subject: Subject, { same, different, departures }: Tally): string {
  const known = [...departures.values()].reduce((sum, count) => sum + count, 0);
  const kinds = Array.from(departures, ([kind, count]) => `\n      ${count} ${kind}`).join('');
  const left = known === 0 ? '' : `, ${known} on which it departs from MongoDB's documentation:${kinds}`;
  return `${subject.name}: ${same + different + known} questions, ${different} differences${left}`;
}

async function askAll(
  subject: Subject,
  tasks: readonly StoredTask[],
  questions: readonly Question[],
  tally: Tally,
): Promise<void> {
  const kept = await subject.load(tasks);
  const answers = answerTo(kept);
  const failed: Failure[] = [];
  const waiting = questions.values();
  const ask = async (): Promise<void> => {
    for (const question of waiting) {
      const wanted = wantedOf(answers, question);
      const given = await idsOf(subject, question);
      if (sameIds(given, wanted)) {
        tally.same++;
        continue;
      }
      const departure = subject.departure?.(question, kept, given);
      if (departure !== undefined) {
        tally.departures.set(departure, (tally.departures.get(departure) ?? 0) + 1);
      } else {
        tally.different++;
        failed.push({ tasks, question });
      }
    }
  };
  await Promise.all(Array.from({ length: subject.concurrency }, ask));
  for (const failure of failed.slice(0, Math.max(0, REPORTS - tally.reports.length)))
    tally.reports.push(await reportOf(subject, failure));
}

function wantedOf(answers: (question: Question) => string[], question: Question): string[] {
  try {
    return answers(question);
  } catch (cause) {
    throw new Error(`the reference cannot evaluate ${show(question)}: ${String(cause)}`, { cause });
  }
}

/** Returns the ids, or the error as a text. */
async function idsOf(subject: Subject, question: Question): Promise<readonly string[] | string> {
  try {
    return await subject.ids(question);
  } catch (error) {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  }
}

function sameIds(given: readonly string[] | string, wanted: readonly string[]): boolean {
  return (
    typeof given !== 'string' && given.length === wanted.length && given.every((id, i) => id === wanted[i])
  );
}

async function reportOf(subject: Subject, failure: Failure): Promise<string> {
  const compare = async ({ tasks, question }: Failure) => {
    const kept = await subject.load(tasks);
    return { wanted: answerTo(kept)(question), given: await idsOf(subject, question) };
  };
  const small = await shrink(failure, async (candidate) => {
    try {
      const { wanted, given } = await compare(candidate);
      if (sameIds(given, wanted)) return false;
      return subject.departure?.(candidate.question, candidate.tasks, given) === undefined;
    } catch {
      // The reduced question is no longer valid.
      return false;
    }
  });
  const { wanted, given } = await compare(small);
  return [
    `${subject.name} differs on ${show(small.question)}`,
    `records: ${show(small.tasks.map(withoutEmpty))}`,
    `wanted: ${show(wanted)}`,
    `given:  ${show(given)}`,
  ].join('\n');
}
