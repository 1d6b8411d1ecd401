import type { Dict } from '@ipyparallel-js/protocol';
import { isDict } from '@ipyparallel-js/protocol/internal';

/** The outcome of a task. */
export interface FinishedTask {
  readonly success: boolean;
  /** The uuid of the engine; empty for a task that no engine ran. */
  readonly engine: string;
}

/** Returns the outcome of a task; undefined if it has not ended. */
export type FinishedTasks = (msgId: string) => FinishedTask | undefined;

/** The tasks that a task must run after (`after`), or on the engine of (`follow`). Mirrors ipyparallel's Dependency. */
export class Dependency {
  static readonly NONE = new Dependency([], {});
  readonly ids: ReadonlySet<string>;
  /** Whether all tasks must end as required, or one of them. */
  readonly all: boolean;
  /** Whether a successful task is as required. */
  readonly success: boolean;
  /** Whether a failed task is as required. */
  readonly failure: boolean;

  constructor(ids: Iterable<string>, options: { all?: boolean; success?: boolean; failure?: boolean }) {
    this.ids = new Set(ids);
    this.all = options.all ?? true;
    this.success = options.success ?? true;
    this.failure = options.failure ?? false;
  }

  /** Whether the ended tasks meet the dependency. */
  isMet(finished: FinishedTasks): boolean {
    return this.#holds((task) => this.#accepts(task), finished);
  }

  /** Whether the tasks that ended on this engine meet the dependency. */
  isMetOn(engine: string, finished: FinishedTasks): boolean {
    return this.#holds((task) => task.engine === engine && this.#accepts(task), finished);
  }

  /** Whether the dependency can no longer be met. */
  isUnreachable(finished: FinishedTasks): boolean {
    if (this.ids.size === 0) return false;
    const fails = (id: string): boolean => {
      const task = finished(id);
      return task !== undefined && !this.#accepts(task);
    };
    return this.all ? someId(this.ids, fails) : !someId(this.ids, (id) => !fails(id));
  }

  /** The engines of the tasks that have ended as required. */
  engines(finished: FinishedTasks): Set<string> {
    const engines = new Set<string>();
    for (const id of this.ids) {
      const task = finished(id);
      if (task !== undefined && this.#accepts(task)) engines.add(task.engine);
    }
    return engines;
  }

  #accepts(task: FinishedTask): boolean {
    return task.success ? this.success : this.failure;
  }

  #holds(accept: (task: FinishedTask) => boolean, finished: FinishedTasks): boolean {
    if (this.ids.size === 0) return true;
    const holds = (id: string): boolean => {
      const task = finished(id);
      return task !== undefined && accept(task);
    };
    return this.all ? !someId(this.ids, (id) => !holds(id)) : someId(this.ids, holds);
  }
}

function someId(ids: Iterable<string>, test: (id: string) => boolean): boolean {
  for (const id of ids) if (test(id)) return true;
  return false;
}

/** Parses a dependency in metadata: a list of msg_ids, or an object with msg_ids and flags. @returns undefined if it is invalid */
export function parseDependency(value: unknown): Dependency | undefined {
  if (value === undefined || value === null) return Dependency.NONE;
  if (typeof value === 'string') return new Dependency([value], {});
  if (Array.isArray(value)) return isIdList(value) ? new Dependency(value, {}) : undefined;
  if (!isDict(value)) return undefined;
  const ids = value['dependencies'] ?? [];
  if (!Array.isArray(ids) || !isIdList(ids)) return undefined;
  const dependency = new Dependency(ids, flags(value));
  return dependency.success || dependency.failure ? dependency : undefined;
}

function flags(value: Dict): { all?: boolean; success?: boolean; failure?: boolean } {
  const result: { all?: boolean; success?: boolean; failure?: boolean } = {};
  for (const name of ['all', 'success', 'failure'] as const) {
    const flag = value[name];
    if (typeof flag === 'boolean') result[name] = flag;
  }
  return result;
}

function isIdList(value: readonly unknown[]): value is readonly string[] {
  return value.every((id) => typeof id === 'string');
}
