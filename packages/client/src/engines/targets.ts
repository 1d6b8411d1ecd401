import { UsageError } from '@ipyparallel-js/protocol';
import type { EngineInfo, EngineRegistry } from './engine-registry.js';
import type { ReturningEngines } from './returning-engines.js';

/** Engines: one id, several, or all that are registered at each call. A negative id counts from the last: -1 is it. */
export type Targets = number | readonly number[] | 'all';

/** Finds engines by id. */
export class TargetFinder {
  readonly #registry: EngineRegistry;
  readonly #returning: ReturningEngines;

  constructor(registry: EngineRegistry, returning: ReturningEngines) {
    this.#registry = registry;
    this.#returning = returning;
  }

  /** Negative ids become those of the engines that are registered now; others stay, there or not. */
  fix<T extends Targets>(targets: T): T;
  fix(targets: Targets): Targets {
    if (targets === 'all') return targets;
    if (typeof targets === 'number') return this.#fixed(targets);
    if (!Array.isArray(targets)) {
      throw new UsageError(`targets are an engine id, a list of ids or 'all', not ${describe(targets)}`);
    }
    return targets.map((id) => this.#fixed(id));
  }

  /** The engines, in the order named. @throws UsageError when one is not registered, or none is */
  engines(targets: Targets): EngineInfo[] {
    return this.#find(targets, [], []);
  }

  /**
   * The engines that work may be given to: those which are registered, and those which are expected back at a controller
   * that was out of reach. `all` means the latter only while none is registered.
   * @throws UsageError when one is neither, or there are none
   */
  forWork(targets: Targets): EngineInfo[] {
    const { absent } = this.#returning;
    return this.#find(targets, absent, absent);
  }

  /** The same for work of which the scheduler picks the engine: `all` means also those that are expected back. */
  forScheduler(targets: Targets): EngineInfo[] {
    const { absent, expected } = this.#returning;
    if (targets === 'all' && this.#registry.ids.length > 0) return [...this.engines('all'), ...absent];
    return this.#find(targets, absent, expected);
  }

  /** A registered engine. @throws UsageError naming those there are */
  engine(id: number): EngineInfo {
    const uuid = this.#registry.engines.get(id);
    if (uuid === undefined) {
      const { ids } = this.#registry;
      const there = ids.length === 0 ? 'none is registered' : `registered: ${ids.join(', ')}`;
      throw new UsageError(`no engine ${id}; ${there}`);
    }
    return { id, uuid };
  }

  #fixed(id: number): number {
    if (!Number.isInteger(id)) throw new UsageError(`an engine id is an integer, not ${describe(id)}`);
    if (id >= 0) return id;
    const { ids } = this.#registry;
    const found = (ids.length > 0 ? ids : this.#returning.absent.map((engine) => engine.id)).at(id);
    if (found === undefined) throw new UsageError(`no engine at ${id}; ${ids.length} are registered`);
    return found;
  }

  #find(targets: Targets, absent: readonly EngineInfo[], all: readonly EngineInfo[]): EngineInfo[] {
    const fixed = this.fix(targets);
    if (fixed !== 'all') {
      return [fixed]
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

function describe(value: unknown): string {
  return typeof value === 'string' ? `"${value}"` : String(value);
}
