import { BehaviorSubject, type Observable } from 'rxjs';

/** An engine that is registered. */
export interface EngineInfo {
  readonly id: number;
  readonly uuid: string;
}

/** The engines that the hub has told of, kept true by its notices. Ids are never reused by a controller. */
export class EngineRegistry {
  readonly #byId = new Map<number, string>();
  // Kept after an engine has gone: errors and records still name it by uuid.
  readonly #idOf = new Map<string, number>();
  readonly #changes: BehaviorSubject<readonly EngineInfo[]> = new BehaviorSubject<readonly EngineInfo[]>([]);

  /** id → uuid of every registered engine. */
  get engines(): ReadonlyMap<number, string> {
    return this.#byId;
  }

  /** The ids, ascending. */
  get ids(): number[] {
    return [...this.#byId.keys()].sort((a, b) => a - b);
  }

  /** The registered engines, at once and after each change; completes when the client closes. */
  get engines$(): Observable<readonly EngineInfo[]> {
    return this.#changes.asObservable();
  }

  /** The id that a uuid has or had. */
  idOf(uuid: string): number | undefined {
    return this.#idOf.get(uuid);
  }

  /** Whether the engine of a uuid is registered. */
  has(uuid: string): boolean {
    const id = this.#idOf.get(uuid);
    return id !== undefined && this.#byId.get(id) === uuid;
  }

  /** An engine came. */
  add(id: number, uuid: string): void {
    if (this.#byId.get(id) === uuid) return;
    this.#byId.set(id, uuid);
    this.#idOf.set(uuid, id);
    this.#emit();
  }

  /** An engine went; false when it was not known. */
  remove(id: number, uuid: string): boolean {
    if (this.#byId.get(id) !== uuid) return false;
    this.#byId.delete(id);
    this.#emit();
    return true;
  }

  /** Takes the hub's full list; returns the uuids that are gone. */
  replace(engines: Iterable<readonly [number, string]>): string[] {
    const now = new Map(engines);
    const gone: string[] = [];
    let changed = false;
    for (const [id, uuid] of [...this.#byId]) {
      if (now.get(id) === uuid) continue;
      this.#byId.delete(id);
      gone.push(uuid);
      changed = true;
    }
    for (const [id, uuid] of now) {
      if (this.#byId.has(id)) continue;
      this.#byId.set(id, uuid);
      this.#idOf.set(uuid, id);
      changed = true;
    }
    if (changed) this.#emit();
    return gone;
  }

  /** Ends `engines$`. */
  complete(): void {
    this.#changes.complete();
  }

  #emit(): void {
    this.#changes.next(this.ids.map((id) => ({ id, uuid: this.#byId.get(id) ?? '' })));
  }
}
