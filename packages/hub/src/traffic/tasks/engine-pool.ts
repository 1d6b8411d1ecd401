import type { Job } from './job.js';
import type { Scheme } from './schemes.js';

/** An engine of the task queue. */
export class PoolEngine {
  readonly uuid: string;
  /** The tasks without a reply, by msg_id. */
  readonly pendingJobs = new Map<string, Job>();

  constructor(uuid: string) {
    this.uuid = uuid;
  }

  get load(): number {
    return this.pendingJobs.size;
  }
}

/** The engines that accept tasks, least recently used first; a new engine is the first. */
export class EnginePool {
  readonly #hwm: number;
  readonly #scheme: Scheme;
  readonly #random: () => number;
  readonly #engines = new Map<string, PoolEngine>();
  #order: PoolEngine[] = [];

  /** `hwm` is the maximum number of tasks of an engine at a time; 0 for any number. */
  constructor(hwm: number, scheme: Scheme, random: () => number) {
    this.#hwm = hwm;
    this.#scheme = scheme;
    this.#random = random;
  }

  get size(): number {
    return this.#engines.size;
  }

  has(uuid: string): boolean {
    return this.#engines.has(uuid);
  }

  get(uuid: string): PoolEngine | undefined {
    return this.#engines.get(uuid);
  }

  uuids(): IterableIterator<string> {
    return this.#engines.keys();
  }

  add(uuid: string): void {
    if (this.#engines.has(uuid)) return;
    const engine = new PoolEngine(uuid);
    this.#engines.set(uuid, engine);
    this.#order.unshift(engine);
  }

  remove(uuid: string): PoolEngine | undefined {
    const engine = this.#engines.get(uuid);
    if (engine === undefined) return undefined;
    this.#engines.delete(uuid);
    this.#order = this.#order.filter((other) => other !== engine);
    return engine;
  }

  /** Whether an engine can accept one more task. */
  hasCapacityAt(uuid: string): boolean {
    const engine = this.#engines.get(uuid);
    return engine !== undefined && this.#hasCapacity(engine);
  }

  /** Chooses among the engines with capacity that `allows` accepts. @returns undefined when there is none */
  choose(allows: ((uuid: string) => boolean) | undefined): PoolEngine | undefined {
    const candidates = this.#order.filter(
      (engine) => this.#hasCapacity(engine) && (allows === undefined || allows(engine.uuid)),
    );
    if (candidates.length === 0) return undefined;
    return candidates[
      this.#scheme(
        candidates.map((engine) => engine.load),
        this.#random,
      )
    ];
  }

  /** Assigns a task to an engine, which becomes the most recently used one. */
  assign(engine: PoolEngine, job: Job): void {
    engine.pendingJobs.set(job.msgId, job);
    const at = this.#order.indexOf(engine);
    if (at >= 0) this.#order.push(...this.#order.splice(at, 1));
  }

  #hasCapacity(engine: PoolEngine): boolean {
    return this.#hwm === 0 || engine.load < this.#hwm;
  }
}
