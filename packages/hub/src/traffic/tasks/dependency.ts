import type { Dict } from '@ipyparallel-js/protocol';
import { isDict } from '@ipyparallel-js/protocol/internal';

/** How a task ended, and where. */
export interface FinishedTask {
  readonly success: boolean;
  /** Empty for a task that no engine ran. */
  readonly engine: string;
}

/** Looks up a task that has ended. */
export type FinishedTasks = (msgId: string) => FinishedTask | undefined;

/** Other tasks that a task waits for (`after`) or follows to their engine (`follow`). Mirrors ipyparallel's Dependency. */
export class Dependency {
  static readonly NONE = new Dependency([], {});
  readonly ids: ReadonlySet<string>;
  /** Whether all of them must be met, or any one. */
  readonly all: boolean;
  /** Whether a task that succeeded meets it. */
  readonly success: boolean;
  /** Whether a task that failed meets it. */
  readonly failure: boolean;

  constructor(ids: Iterable<string>, options: { all?: boolean; success?: boolean; failure?: boolean }) {
    this.ids = new Set(ids);
    this.all = options.all ?? true;
    this.success = options.success ?? true;
    this.failure = options.failure ?? false;
  }

  /** Whether it is met by what has ended so far. */
  met(finished: FinishedTasks): boolean {
    return this.#holds((task) => this.#accepts(task), finished);
  }

  /** Whether it is met by what ended on this engine. */
  metOn(engine: string, finished: FinishedTasks): boolean {
    return this.#holds((task) => task.engine === engine && this.#accepts(task), finished);
  }

  /** Whether nothing that may still happen can meet it. */
  unreachable(finished: FinishedTasks): boolean {
    if (this.ids.size === 0) return false;
    const fails = (id: string): boolean => {
      const task = finished(id);
      return task !== undefined && !this.#accepts(task);
    };
    return this.all ? some(this.ids, fails) : !some(this.ids, (id) => !fails(id));
  }

  /** The engines of those that have ended as wanted. */
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
    return this.all ? !some(this.ids, (id) => !holds(id)) : some(this.ids, holds);
  }
}

function some(ids: Iterable<string>, test: (id: string) => boolean): boolean {
  for (const id of ids) if (test(id)) return true;
  return false;
}

/** Reads a dependency as metadata carries it: a list of msg_ids, or an object of them with flags. Undefined if it is neither. */
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
  const out: { all?: boolean; success?: boolean; failure?: boolean } = {};
  for (const name of ['all', 'success', 'failure'] as const) {
    const flag = value[name];
    if (typeof flag === 'boolean') out[name] = flag;
  }
  return out;
}

function isIdList(value: readonly unknown[]): value is readonly string[] {
  return value.every((id) => typeof id === 'string');
}
