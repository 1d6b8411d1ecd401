import { ReportedError } from '../common/errors.js';
import type { FoundTask, RemovalResult, TaskDatabase, WriteOutcome } from './task-database.js';

function noDatabaseError(): ReportedError {
  return new ReportedError(
    'NoData',
    'this controller has no Task Database; start it without --nodb to query, resubmit or fetch earlier results',
  );
}

/** Stores nothing; reads fail with `NoData`. Mirrors ipyparallel's `NoDB`. */
export class NoDatabase implements TaskDatabase {
  readonly kind = 'none';

  async write(): Promise<WriteOutcome> {
    return { culled: [] };
  }

  async get(): Promise<Map<string, FoundTask>> {
    throw noDatabaseError();
  }

  // biome-ignore lint/correctness/useYield: there is nothing to yield
  async *find(): AsyncGenerator<readonly FoundTask[]> {
    throw noDatabaseError();
  }

  async count(): Promise<number> {
    throw noDatabaseError();
  }

  async history(): Promise<string[]> {
    throw noDatabaseError();
  }

  async remove(): Promise<RemovalResult> {
    return { count: 0, bytes: 0, msgIds: [] };
  }

  async close(): Promise<void> {}
}
