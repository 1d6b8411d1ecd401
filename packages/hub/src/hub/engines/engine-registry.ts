import { keyError, pyRepr, ReportedError } from '../../common/errors.js';

/** A registered engine. */
export interface RegisteredEngine {
  readonly id: number;
  readonly uuid: string;
}

/** The maximum number of unregistered engines whose ids are stored. */
const MAX_DEPARTED_ENGINES = 1024;

/** The maximum size of a ZeroMQ routing id, in bytes. */
const MAX_UUID = 255;

/** Registered and registering engines. An engine is registered from its first heartbeat on. */
export class EngineRegistry {
  readonly #byId = new Map<number, RegisteredEngine>();
  readonly #byUuid = new Map<string, RegisteredEngine>();
  readonly #registeringEngines = new Map<string, RegisteredEngine>();
  readonly #departedIds = new Map<string, number>();
  #nextId = 0;

  get list(): RegisteredEngine[] {
    return [...this.#byId.values()];
  }

  /** The lowest id that was never assigned. */
  get nextId(): number {
    return this.#nextId;
  }

  /** Makes new ids start at `nextId` or above. */
  reserve(nextId: number): void {
    this.#nextId = Math.max(this.#nextId, nextId);
  }

  get(id: number): RegisteredEngine | undefined {
    return this.#byId.get(id);
  }

  idOf(uuid: string): number | undefined {
    return this.#byUuid.get(uuid)?.id;
  }

  /** The id of an engine that is no longer registered. */
  idOfDepartedEngine(uuid: string): number | undefined {
    return this.#departedIds.get(uuid);
  }

  /**
   * Begins a registration. Ids count from 0 and are never reused, except that an engine gets the id it requests if it is free.
   * @throws {ReportedError} when the uuid is invalid or in use
   */
  begin(uuid: unknown, requestedId: unknown): RegisteredEngine {
    if (typeof uuid !== 'string' || uuid === '' || Buffer.byteLength(uuid) > MAX_UUID) {
      const given = typeof uuid === 'string' ? `${Buffer.byteLength(uuid)} bytes` : typeof uuid;
      throw new ReportedError('ValueError', `uuid must be a string of 1 to ${MAX_UUID} bytes, got ${given}`);
    }
    if (this.#byUuid.has(uuid) || this.#registeringEngines.has(uuid))
      throw keyError(`uuid ${pyRepr(uuid)} in use`);
    const engine = { id: this.#newId(requestedId), uuid };
    this.#registeringEngines.set(uuid, engine);
    return engine;
  }

  /** Completes a registration. @returns undefined when none has begun */
  complete(uuid: string): RegisteredEngine | undefined {
    const engine = this.#registeringEngines.get(uuid);
    if (engine === undefined) return undefined;
    this.#registeringEngines.delete(uuid);
    this.#departedIds.delete(uuid);
    this.#byId.set(engine.id, engine);
    this.#byUuid.set(uuid, engine);
    return engine;
  }

  /** Cancels a registration before its first heartbeat, by id or uuid. @returns undefined when there is none */
  cancel(key: number | string): RegisteredEngine | undefined {
    const engine = [...this.#registeringEngines.values()].find(({ id, uuid }) => id === key || uuid === key);
    if (engine !== undefined) this.#registeringEngines.delete(engine.uuid);
    return engine;
  }

  /** Removes an engine. @returns undefined when it is not registered */
  remove(id: number): RegisteredEngine | undefined {
    const engine = this.#byId.get(id);
    if (engine === undefined) return undefined;
    this.#byId.delete(id);
    this.#byUuid.delete(engine.uuid);
    this.#departedIds.set(engine.uuid, id);
    if (this.#departedIds.size > MAX_DEPARTED_ENGINES) {
      for (const oldest of this.#departedIds.keys()) {
        this.#departedIds.delete(oldest);
        break;
      }
    }
    return engine;
  }

  #newId(requested: unknown): number {
    const isValid = typeof requested === 'number' && Number.isSafeInteger(requested) && requested >= 0;
    const isTaken = (id: number) =>
      this.#byId.has(id) || [...this.#registeringEngines.values()].some((e) => e.id === id);
    if (isValid && requested < 2 ** 31 && !isTaken(requested)) {
      this.#nextId = Math.max(this.#nextId, requested + 1);
      return requested;
    }
    return this.#nextId++;
  }
}
