import { ProtocolError } from '@ipyparallel-js/protocol';
import type { ControlRequests } from '../engines/control-requests.js';
import type { EngineLanguages } from '../engines/engine-languages.js';
import type { EngineInfo, EngineRegistry } from '../engines/engine-registry.js';
import type { OwnTasks } from './own-tasks.js';

/** What the engines mean to the parts of a client: each is told when one comes or goes. */
export class EngineChanges {
  readonly #registry: EngineRegistry;
  readonly #languages: EngineLanguages;
  readonly #control: ControlRequests;
  readonly #own: OwnTasks;

  constructor(registry: EngineRegistry, languages: EngineLanguages, control: ControlRequests, own: OwnTasks) {
    this.#registry = registry;
    this.#languages = languages;
    this.#control = control;
    this.#own = own;
  }

  /** The hub says that an engine registered. */
  came(id: number, uuid: string): void {
    this.#registry.add(id, uuid);
    this.#learn({ id, uuid });
  }

  /** The hub says that an engine is gone. */
  went(id: number, uuid: string): void {
    if (this.#registry.remove(id, uuid)) this.bury(uuid);
  }

  /** Takes the hub's full list. Gives the engines that are not in it any more; {@link bury} is for the caller to do. */
  replace(engines: readonly EngineInfo[]): string[] {
    const gone = this.#registry.replace(engines.map(({ id, uuid }) => [id, uuid] as const));
    for (const engine of engines) this.#learn(engine);
    return gone;
  }

  /** An engine will not come back: what was bound to it fails. */
  bury(uuid: string): void {
    this.#languages.forget(uuid);
    this.#control.onEngineGone(uuid);
    this.#own.onEngineGone(uuid);
  }

  #learn(engine: EngineInfo): void {
    void this.#languages.of(engine);
  }
}

/** The engines of a `connection_reply`. @throws ProtocolError when they cannot be */
export function enginesOf(engines: { readonly [id: string]: string } | undefined): EngineInfo[] {
  const list = Object.entries(engines ?? {}).map(([id, uuid]) => ({ id: Number(id), uuid }));
  if (!list.every(({ id, uuid }) => Number.isInteger(id) && typeof uuid === 'string'))
    throw new ProtocolError('a connection_reply names engines that cannot be');
  return list;
}
