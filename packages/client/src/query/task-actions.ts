import { UsageError } from '@ipyparallel-js/protocol';
import type { Deadline, WaitOptions } from '@ipyparallel-js/wire';
import type { Targets } from '../engines/targets.js';
import { Purge, type PurgeReport } from '../hub/purge.js';
import type { RecordQuery } from '../hub/record-query.js';
import type { ClusterLink } from '../link/cluster-link.js';
import { AsyncResult } from '../results/async-result.js';
import type { ResubmitOptions } from './query-options.js';

/** What selections of tasks are for. */
export interface Selections {
  results(msgIds: readonly string[]): AsyncResult<unknown[]>;
  resubmit(msgIds: readonly string[], options: ResubmitOptions): Promise<AsyncResult<unknown[]>>;
  purge(question: RecordQuery, dryRun: boolean, newDeadline: () => Deadline): Promise<PurgeReport>;
}

/** What is done with tasks by their records at the hub, whether named by ids or selected by a query. */
export class TaskActions implements Selections {
  readonly #link: ClusterLink;

  constructor(link: ClusterLink) {
    this.#link = link;
  }

  results(msgIds: readonly string[]): AsyncResult<unknown[]> {
    return this.#link.results.of(msgIds) as AsyncResult<unknown[]>;
  }

  /** Runs tasks again: by the hub, or with `restore` from here where the hub would lose what their metadata said. */
  async resubmit(
    msgIds: readonly string[],
    options: ResubmitOptions,
    single = false,
  ): Promise<AsyncResult<unknown[]>> {
    const { operations, submitter, signals, others } = this.#link;
    if (options.restore === true && !operations.keepsMetadata) {
      const requests = await operations.requestsOf(msgIds, options);
      return new AsyncResult(
        requests.map((request) => submitter.again(request)),
        { single },
      );
    }
    const { renamed, dropped } = await operations.resubmit(msgIds, options);
    for (const again of renamed.values()) signals.onSubmitted(again);
    signals.onUnspecified();
    const tasks = msgIds.map((id) => others.follow(renamed.get(id) ?? id));
    return new AsyncResult(tasks, { single, dropped });
  }

  /** Purges what a query selects. */
  async purge(question: RecordQuery, dryRun: boolean, newDeadline: () => Deadline): Promise<PurgeReport> {
    const { database, operations, own, signals } = this.#link;
    const report = await new Purge(database, operations).run(question, dryRun, newDeadline);
    if (!dryRun) {
      own.forget(report.msgIds ?? []);
      signals.onUnspecified();
    }
    return report;
  }

  /** Purges tasks by id, and all that has ended on `targets`, at the hub alone. */
  async purgeIds(
    msgIds: readonly string[],
    options: WaitOptions & { readonly targets?: Targets },
  ): Promise<void> {
    const { operations, registry, signals } = this.#link;
    const { targets } = options;
    const ids = targets === undefined ? [] : targets === 'all' ? registry.ids : [targets].flat();
    const uuids = ids.map((id) => {
      const uuid = registry.engines.get(id);
      if (uuid === undefined) throw new UsageError(`no engine ${id}; registered: ${registry.ids.join(', ')}`);
      return uuid;
    });
    const ended = uuids.length === 0 ? [] : await operations.endedOn(uuids, options);
    if (msgIds.length + ended.length > 0) await operations.purgeIds([...msgIds, ...ended], options);
    signals.onUnspecified();
  }

  /** Purges all that has ended, at the hub alone. */
  async purgeAll(options: WaitOptions): Promise<void> {
    await this.#link.operations.purgeAll(options);
    this.#link.signals.onUnspecified();
  }
}
