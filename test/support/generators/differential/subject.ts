// What is compared in a differential test: something that holds records and answers questions about them.
import { inspect } from 'node:util';
import type { StoredTask } from '@ipyparallel-js/hub/internal';
import type { Dict } from '@ipyparallel-js/protocol';

/** One question, as `dbQuery` takes it. */
export interface Question {
  readonly query: Dict;
  /** The default order without. */
  readonly sort?: readonly (readonly [string, 1 | -1])[];
  readonly skip?: number;
  readonly limit?: number;
}

export interface Subject extends AsyncDisposable {
  readonly name: string;
  /** How many questions it is asked at a time. */
  readonly atOnce: number;
  /** Replaces its records; gives them as it keeps them, since not every store has every column. */
  load(tasks: readonly StoredTask[]): Promise<readonly StoredTask[]>;
  /** The ids of the answer, in its order. */
  ids(question: Question): Promise<readonly string[]>;
  /** The known kind of departure from MongoDB's documentation that a wrong answer is of, if it is of any. */
  departure?(
    question: Question,
    tasks: readonly StoredTask[],
    given: readonly string[] | string,
  ): string | undefined;
}

/** A question as source text. */
export function show(value: unknown): string {
  return inspect(value, { depth: 50, maxArrayLength: 40, breakLength: 110, maxStringLength: 400 });
}

/** A record without what is empty in it. */
export function withoutEmpty(task: StoredTask): Dict {
  return Object.fromEntries(Object.entries(task).filter(([, value]) => value !== null && value !== ''));
}
