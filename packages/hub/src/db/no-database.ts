import { ReportedError } from '../common/errors.js';
import type { FoundTask, Removed, TaskDatabase, WriteOutcome } from './task-database.js';

function noData(): ReportedError {
  return new ReportedError(
    'NoData',
    'this controller keeps no Task Database; start it with one (without --nodb) to query, resubmit or fetch results later',
  );
}

/** Remembers nothing, and says so when asked. Mirrors ipyparallel's NoDB. */
export class NoDatabase implements TaskDatabase {
  readonly kind = 'none';

  async write(): Promise<WriteOutcome> {
    return { culled: [] };
  }

  async get(): Promise<Map<string, FoundTask>> {
    throw noData();
  }

  // biome-ignore lint/correctness/useYield: there is nothing to yield
  async *find(): AsyncGenerator<readonly FoundTask[]> {
    throw noData();
  }

  async count(): Promise<number> {
    throw noData();
  }

  async history(): Promise<string[]> {
    throw noData();
  }

  async remove(): Promise<Removed> {
    return { count: 0, bytes: 0, msgIds: [] };
  }

  async close(): Promise<void> {}
}
