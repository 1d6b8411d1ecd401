import { keyError, pyRepr, ReportedError } from '../../common/errors.js';

/** A registered engine. */
export interface RegisteredEngine {
  readonly id: number;
  readonly uuid: string;
}

/** How many unregistered engines are remembered. */
const DEPARTED = 1024;

/** A routing id has 255 bytes at most. */
const MAX_UUID = 255;

/** Who is registered, and who is about to be: an engine counts from the first beat of its heart. */
export class EngineRegistry {
  readonly #byId = new Map<number, RegisteredEngine>();
  readonly #byUuid = new Map<string, RegisteredEngine>();
  readonly #incoming = new Map<string, RegisteredEngine>();
  readonly #departed = new Map<string, number>();
  #nextId = 0;

  /** All registered engines. */
  get all(): RegisteredEngine[] {
    return [...this.#byId.values()];
  }

  /** The lowest id that was never given. */
  get nextId(): number {
    return this.#nextId;
  }

  /** Gives no id below this of its own accord. */
  reserve(nextId: number): void {
    this.#nextId = Math.max(this.#nextId, nextId);
  }

  get(id: number): RegisteredEngine | undefined {
    return this.#byId.get(id);
  }

  idOf(uuid: string): number | undefined {
    return this.#byUuid.get(uuid)?.id;
  }

  /** The id that an engine had which is gone. */
  departed(uuid: string): number | undefined {
    return this.#departed.get(uuid);
  }

  /** Begins a registration. Ids count from 0 and are never used twice; one that is asked for is given if it is free. */
  begin(uuid: unknown, requestedId: unknown): RegisteredEngine {
    if (typeof uuid !== 'string' || uuid === '' || Buffer.byteLength(uuid) > MAX_UUID) {
      throw new ReportedError('ValueError', 'an engine registers with a uuid of 1 to 255 bytes');
    }
    if (this.#byUuid.has(uuid) || this.#incoming.has(uuid)) throw keyError(`uuid ${pyRepr(uuid)} in use`);
    const engine = { id: this.#newId(requestedId), uuid };
    this.#incoming.set(uuid, engine);
    return engine;
  }

  /** Completes a registration; undefined when none had begun. */
  complete(uuid: string): RegisteredEngine | undefined {
    const engine = this.#incoming.get(uuid);
    if (engine === undefined) return undefined;
    this.#incoming.delete(uuid);
    this.#departed.delete(uuid);
    this.#byId.set(engine.id, engine);
    this.#byUuid.set(uuid, engine);
    return engine;
  }

  /** Ends a registration before its first beat, by id or uuid; undefined when there is none. */
  cancel(which: number | string): RegisteredEngine | undefined {
    const engine = [...this.#incoming.values()].find(({ id, uuid }) => id === which || uuid === which);
    if (engine !== undefined) this.#incoming.delete(engine.uuid);
    return engine;
  }

  /** Removes an engine; undefined when it is not registered. */
  remove(id: number): RegisteredEngine | undefined {
    const engine = this.#byId.get(id);
    if (engine === undefined) return undefined;
    this.#byId.delete(id);
    this.#byUuid.delete(engine.uuid);
    this.#departed.set(engine.uuid, id);
    if (this.#departed.size > DEPARTED) {
      for (const oldest of this.#departed.keys()) {
        this.#departed.delete(oldest);
        break;
      }
    }
    return engine;
  }

  #newId(requested: unknown): number {
    const usable = typeof requested === 'number' && Number.isSafeInteger(requested) && requested >= 0;
    const taken = (id: number) => this.#byId.has(id) || [...this.#incoming.values()].some((e) => e.id === id);
    if (usable && requested < 2 ** 31 && !taken(requested)) {
      this.#nextId = Math.max(this.#nextId, requested + 1);
      return requested;
    }
    return this.#nextId++;
  }
}
