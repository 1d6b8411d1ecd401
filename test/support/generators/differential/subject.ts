// A subject of the differential test stores records and evaluates queries about them.
import { inspect } from 'node:util';
import type { StoredTask } from '@ipyparallel-js/hub/internal';
import type { Dict } from '@ipyparallel-js/protocol';

/** A query in the form that `dbQuery` accepts. */
export interface PagedQuery {
  readonly query: Dict;
  /** The default order if absent. */
  readonly sort?: readonly (readonly [string, 1 | -1])[];
  readonly skip?: number;
  readonly limit?: number;
}

export interface Subject extends AsyncDisposable {
  readonly name: string;
  /** Number of queries that it evaluates at the same time. */
  readonly concurrency: number;
  /** Replaces the records. Returns them as the subject stores them, because not every store has every column. */
  load(tasks: readonly StoredTask[]): Promise<readonly StoredTask[]>;
  /** Evaluates a query; returns the ids in order. */
  ids(pagedQuery: PagedQuery): Promise<readonly string[]>;
  /** Returns the known kind of departure from MongoDB's documentation that explains a wrong result, if there is one. */
  departure?(
    pagedQuery: PagedQuery,
    tasks: readonly StoredTask[],
    result: readonly string[] | string,
  ): string | undefined;
}

/** Formats a value as source text. */
export function show(value: unknown): string {
  return inspect(value, { depth: 50, maxArrayLength: 40, breakLength: 110, maxStringLength: 400 });
}

/** Removes the empty fields of a record. */
export function withoutEmpty(task: StoredTask): Dict {
  return Object.fromEntries(Object.entries(task).filter(([, value]) => value !== null && value !== ''));
}
