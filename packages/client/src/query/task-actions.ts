import { UsageError } from '@ipyparallel-js/protocol';
import type { Deadline, WaitOptions } from '@ipyparallel-js/wire';
import type { CommandOptions } from '../engines/engine-commands.js';
import type { EngineRegistry } from '../engines/engine-registry.js';
import type { TargetFinder, Targets } from '../engines/targets.js';
import type { HubDatabase } from '../hub/hub-database.js';
import type { HubOperations, PurgeReport } from '../hub/hub-operations.js';
import { Purge } from '../hub/purge.js';
import type { RecordQuery, Row } from '../hub/record-query.js';
import type { ChangeSignals } from '../live/change-signals.js';
import { AsyncResult } from '../results/async-result.js';
import type { SubmittedTasks } from '../tasks/submitted-tasks.js';
import type { Task } from '../tasks/task.js';
import type { ResubmitOptions } from './query-options.js';

/** The parts of a client that task actions use. */
export interface TaskActionsContext {
  readonly database: HubDatabase;
  readonly operations: HubOperations;
  readonly registry: EngineRegistry;
  readonly targets: TargetFinder;
  readonly submittedTasks: SubmittedTasks;
  /** Notified of every change that an action makes at the hub. */
  readonly signals: ChangeSignals;
  /** Creates the result of tasks by their ids. */
  resultOf(msgIds: readonly string[]): AsyncResult<unknown[]>;
  /** Follows a task by its record at the hub. */
  follow(msgId: string): Task;
  /** Submits a task again from its record, as a task of this client. */
  resubmit(record: Row): Task;
}

/** Resubmits and purges tasks, named by ids or selected by a query, through their records at the hub. */
export class TaskActions {
  readonly #context: TaskActionsContext;

  constructor(context: TaskActionsContext) {
    this.#context = context;
  }

  results(msgIds: readonly string[]): AsyncResult<unknown[]> {
    return this.#context.resultOf(msgIds);
  }

  /** Runs tasks again: at the hub, or with `restore` from this client where the hub would drop their metadata. */
  async resubmit(
    msgIds: readonly string[],
    options: ResubmitOptions,
    single = false,
  ): Promise<AsyncResult<unknown[]>> {
    const { operations, signals } = this.#context;
    if (options.restore === true && !operations.keepsMetadata) {
      const records = await operations.requestsOf(msgIds, options);
      return new AsyncResult(
        records.map((record) => this.#context.resubmit(record)),
        { single },
      );
    }
    const { renamed, dropped } = await operations.resubmit(msgIds, options);
    for (const newId of renamed.values()) signals.onSubmitted(newId);
    signals.onUnspecified();
    const tasks = msgIds.map((id) => this.#context.follow(renamed.get(id) ?? id));
    return new AsyncResult(tasks, { single, dropped });
  }

  /** Purges the records that a query selects. */
  async purge(query: RecordQuery, dryRun: boolean, newDeadline: () => Deadline): Promise<PurgeReport> {
    const { database, operations, signals } = this.#context;
    const report = await new Purge(database, operations).run(query, dryRun, newDeadline);
    if (!dryRun) {
      this.#context.submittedTasks.forget(report.msgIds ?? []);
      signals.onUnspecified();
    }
    return report;
  }

  /** Purges tasks by id, or all tasks, at the hub and in this client; with `targets` also the tasks of these engines. */
  async purgeEverywhere(msgIds: readonly string[] | 'all', options: CommandOptions): Promise<void> {
    await (msgIds === 'all' ? this.purgeAll(options) : this.purgeIds(msgIds, options));
    this.purgeLocal(msgIds, options.targets);
  }

  /** Purges tasks by id, or all tasks, in this client only; with `targets` also the tasks of these engines. */
  purgeLocal(msgIds: readonly string[] | 'all', targets: Targets | undefined): void {
    const { submittedTasks } = this.#context;
    const ids = msgIds === 'all' ? submittedTasks.history : msgIds;
    const engines = targets === undefined ? [] : this.#context.targets.engines(targets);
    submittedTasks.forget([...ids, ...submittedTasks.idsOn(new Set(engines.map(({ uuid }) => uuid)))]);
  }

  /** Purges tasks by id, and all tasks that ended on `targets`, at the hub only. */
  async purgeIds(msgIds: readonly string[], options: CommandOptions): Promise<void> {
    const { operations, registry, signals } = this.#context;
    const { targets } = options;
    const engines = targets === undefined ? [] : targets === 'all' ? registry.ids : [targets].flat();
    const uuids = engines.map((id) => uuidOf(id, registry));
    const ended = uuids.length === 0 ? [] : await operations.endedOn(uuids, options);
    if (msgIds.length + ended.length > 0) await operations.purgeIds([...msgIds, ...ended], options);
    signals.onUnspecified();
  }

  /** Purges all tasks that have ended, at the hub only. */
  async purgeAll(options: WaitOptions): Promise<void> {
    await this.#context.operations.purgeAll(options);
    this.#context.signals.onUnspecified();
  }
}

function uuidOf(engineId: number, registry: EngineRegistry): string {
  const uuid = registry.engines.get(engineId);
  if (uuid === undefined)
    throw new UsageError(
      `no engine ${engineId} is registered; registered engines: ${registry.ids.join(', ')}`,
    );
  return uuid;
}
