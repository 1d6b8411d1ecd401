import { BehaviorSubject, type Observable } from 'rxjs';

/** A registered engine. */
export interface EngineInfo {
  readonly id: number;
  readonly uuid: string;
}

/** The registered engines, updated by the hub's notifications. A controller never reuses an id. */
export class EngineRegistry {
  readonly #byId = new Map<number, string>();
  // Kept after an engine has unregistered, because errors and records still name it by uuid.
  readonly #idOf = new Map<string, number>();
  readonly #changes: BehaviorSubject<readonly EngineInfo[]> = new BehaviorSubject<readonly EngineInfo[]>([]);

  /** The uuids of the registered engines by id. */
  get engines(): ReadonlyMap<number, string> {
    return this.#byId;
  }

  /** The ids, ascending. */
  get ids(): number[] {
    return [...this.#byId.keys()].sort((a, b) => a - b);
  }

  /** Emits the registered engines at once and after each change; completes when the client is closed. */
  get engines$(): Observable<readonly EngineInfo[]> {
    return this.#changes.asObservable();
  }

  /** The id that the engine of a uuid has or had. */
  idOf(uuid: string): number | undefined {
    return this.#idOf.get(uuid);
  }

  /** Whether the engine of a uuid is registered. */
  has(uuid: string): boolean {
    const id = this.#idOf.get(uuid);
    return id !== undefined && this.#byId.get(id) === uuid;
  }

  /** Adds an engine. */
  add(id: number, uuid: string): void {
    if (this.#byId.get(id) === uuid) return;
    this.#byId.set(id, uuid);
    this.#idOf.set(uuid, id);
    this.#emit();
  }

  /** Removes an engine. Returns false if it was not registered. */
  remove(id: number, uuid: string): boolean {
    if (this.#byId.get(id) !== uuid) return false;
    this.#byId.delete(id);
    this.#emit();
    return true;
  }

  /** Replaces all engines by the hub's complete list. Returns the uuids that are not in it. */
  replace(engines: Iterable<readonly [number, string]>): string[] {
    const current = new Map(engines);
    const removedUuids: string[] = [];
    let changed = false;
    for (const [id, uuid] of [...this.#byId]) {
      if (current.get(id) === uuid) continue;
      this.#byId.delete(id);
      removedUuids.push(uuid);
      changed = true;
    }
    for (const [id, uuid] of current) {
      if (this.#byId.has(id)) continue;
      this.#byId.set(id, uuid);
      this.#idOf.set(uuid, id);
      changed = true;
    }
    if (changed) this.#emit();
    return removedUuids;
  }

  /** Completes `engines$`. */
  complete(): void {
    this.#changes.complete();
  }

  #emit(): void {
    this.#changes.next(this.ids.map((id) => ({ id, uuid: this.#byId.get(id) ?? '' })));
  }
}
