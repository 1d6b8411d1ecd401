import type { TaskKey } from '@ipyparallel-js/protocol';
import type { QueryNode } from '@ipyparallel-js/protocol/internal';
import type { Deadline } from '@ipyparallel-js/wire';
import type { QueryPlan } from './explain.js';
import type { RecordQuery, Row } from './record-query.js';

/** Executes queries on one kind of hub. Each call plans its query once. */
export interface RecordReader {
  /** Yields the matches in order, in portions. */
  pages(query: RecordQuery, newDeadline: () => Deadline): AsyncGenerator<Row[], void, undefined>;
  /** Counts the matches of a condition. */
  count(node: QueryNode, newDeadline: () => Deadline): Promise<number>;
  /** Reads the given columns of all matches, in no particular order. */
  matches(node: QueryNode, columns: readonly TaskKey[], deadline: Deadline): Promise<Row[]>;
  /** Describes how a query is executed, without requesting records. */
  explain(query: RecordQuery, deadline: Deadline): Promise<QueryPlan>;
}
