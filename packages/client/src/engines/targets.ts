import { UsageError } from '@ipyparallel-js/protocol';
import { describe } from '@ipyparallel-js/protocol/internal';
import type { EngineInfo, EngineRegistry } from './engine-registry.js';
import type { ReturningEngines } from './returning-engines.js';

/** Engines: one id, several ids, or all engines registered at each call. A negative id counts from the end: -1 is the last. */
export type Targets = number | readonly number[] | 'all';

/** Resolves targets to engines. */
export class TargetFinder {
  readonly #registry: EngineRegistry;
  readonly #returningEngines: ReturningEngines;

  constructor(registry: EngineRegistry, returning: ReturningEngines) {
    this.#registry = registry;
    this.#returningEngines = returning;
  }

  /** Replaces negative ids by ids of the registered engines; other ids are not checked. */
  resolveNegativeIds<T extends Targets>(targets: T): T;
  resolveNegativeIds(targets: Targets): Targets {
    if (targets === 'all') return targets;
    if (typeof targets === 'number') return this.#resolveId(targets);
    if (!Array.isArray(targets)) {
      throw new UsageError(`targets must be an engine id, a list of ids or 'all', got ${describe(targets)}`);
    }
    return targets.map((id) => this.#resolveId(id));
  }

  /** Replaces negative ids in the `targets` of a view's flags. */
  withResolvedTargets<F extends { readonly targets?: Targets | undefined }>(flags: F): F {
    const { targets } = flags;
    return targets === undefined ? flags : { ...flags, targets: this.resolveNegativeIds(targets) };
  }

  /** Returns the registered engines, in the order of `targets`. @throws {UsageError} when an engine is not registered, or none is */
  engines(targets: Targets): EngineInfo[] {
    return this.#find(targets, [], []);
  }

  /**
   * Returns the engines to which work may be submitted: registered engines, and after a reconnection engines that are
   * expected to register again. `all` includes the latter only while no engine is registered.
   * @throws {UsageError} when an engine is neither registered nor expected, or there are none
   */
  enginesForWork(targets: Targets): EngineInfo[] {
    const { absent } = this.#returningEngines;
    return this.#find(targets, absent, absent);
  }

  /** Returns the engines among which the scheduler may choose; `all` includes engines that are expected to register again. */
  enginesForScheduler(targets: Targets): EngineInfo[] {
    const { absent, expected } = this.#returningEngines;
    if (targets === 'all' && this.#registry.ids.length > 0) return [...this.engines('all'), ...absent];
    return this.#find(targets, absent, expected);
  }

  /** Returns a registered engine. @throws {UsageError} when no engine has this id */
  engine(id: number): EngineInfo {
    const uuid = this.#registry.engines.get(id);
    if (uuid === undefined) {
      const { ids } = this.#registry;
      const available = ids.length === 0 ? 'none is registered' : `registered: ${ids.join(', ')}`;
      throw new UsageError(`no engine ${id}; ${available}`);
    }
    return { id, uuid };
  }

  #resolveId(id: number): number {
    if (!Number.isInteger(id)) throw new UsageError(`an engine id must be an integer, got ${describe(id)}`);
    if (id >= 0) return id;
    const { ids } = this.#registry;
    const found = (ids.length > 0 ? ids : this.#returningEngines.absent.map((engine) => engine.id)).at(id);
    if (found === undefined)
      throw new UsageError(`no engine at position ${id}; ${ids.length} are registered`);
    return found;
  }

  #find(targets: Targets, absent: readonly EngineInfo[], all: readonly EngineInfo[]): EngineInfo[] {
    const resolvedTargets = this.resolveNegativeIds(targets);
    if (resolvedTargets !== 'all') {
      return [resolvedTargets]
        .flat()
        .map((id) =>
          this.#registry.engines.has(id)
            ? this.engine(id)
            : (absent.find((engine) => engine.id === id) ?? this.engine(id)),
        );
    }
    const { ids } = this.#registry;
    if (ids.length > 0) return ids.map((id) => this.engine(id));
    if (all.length > 0) return [...all];
    throw new UsageError('no engines are registered; wait for some with waitForEngines', {
      code: 'NO_ENGINES',
    });
  }
}
