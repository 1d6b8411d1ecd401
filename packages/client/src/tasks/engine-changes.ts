import { ProtocolError } from '@ipyparallel-js/protocol';
import { describe } from '@ipyparallel-js/protocol/internal';
import type { ControlRequests } from '../engines/control-requests.js';
import type { EngineLanguages } from '../engines/engine-languages.js';
import type { EngineInfo, EngineRegistry } from '../engines/engine-registry.js';
import type { SubmittedTasks } from './submitted-tasks.js';

/** Updates the registry when engines register and unregister, and notifies the parts that depend on it. */
export class EngineChanges {
  readonly #registry: EngineRegistry;
  readonly #languages: EngineLanguages;
  readonly #control: ControlRequests;
  readonly #submittedTasks: SubmittedTasks;

  constructor(
    registry: EngineRegistry,
    languages: EngineLanguages,
    control: ControlRequests,
    submittedTasks: SubmittedTasks,
  ) {
    this.#registry = registry;
    this.#languages = languages;
    this.#control = control;
    this.#submittedTasks = submittedTasks;
  }

  /** Handles the registration of an engine. */
  added(id: number, uuid: string): void {
    this.#registry.add(id, uuid);
    this.#requestLanguage({ id, uuid });
  }

  /** Handles the unregistration of an engine. */
  removed(id: number, uuid: string): void {
    if (this.#registry.remove(id, uuid)) this.forget(uuid);
  }

  /** Sets the complete list of engines. Returns the uuids that are not in it; the caller may {@link forget} them. */
  replace(engines: readonly EngineInfo[]): string[] {
    const missing = this.#registry.replace(engines.map(({ id, uuid }) => [id, uuid] as const));
    for (const engine of engines) this.#requestLanguage(engine);
    return missing;
  }

  /** Fails the tasks and requests of an engine that will not register again. */
  forget(uuid: string): void {
    this.#languages.forget(uuid);
    this.#control.onEngineGone(uuid);
    this.#submittedTasks.onEngineGone(uuid);
  }

  #requestLanguage(engine: EngineInfo): void {
    void this.#languages.of(engine);
  }
}

/** Reads the engines of a `connection_reply`. @throws {ProtocolError} when they are malformed */
export function enginesOf(engines: { readonly [id: string]: string } | undefined): EngineInfo[] {
  const list = Object.entries(engines ?? {}).map(([id, uuid]) => ({ id: Number(id), uuid }));
  const invalid = list.find(({ id, uuid }) => !Number.isInteger(id) || typeof uuid !== 'string');
  if (invalid !== undefined)
    throw new ProtocolError(
      `engines of a connection_reply must map integer ids to uuid strings, got ${describe(invalid.uuid)} for ${invalid.id}`,
    );
  return list;
}
