import type { Dict, EngineConnectionInfo } from '@ipyparallel-js/protocol';
import type { Logger } from '@ipyparallel-js/wire';
import type { Schedulers } from '../../thread-link/schedulers.js';
import type { OrphanedTasks } from '../recording/orphaned-tasks.js';
import type { TaskTracker } from '../recording/task-tracker.js';
import type { EngineRegistry } from './engine-registry.js';
import type { EngineStateFile } from './engine-state.js';

export interface RegistrationOptions {
  readonly engines: EngineRegistry;
  readonly tracker: TaskTracker;
  readonly orphans: OrphanedTasks;
  readonly schedulers: Schedulers;
  /** Sent to registering engines; current engines use their connection file instead. */
  readonly connectionInfo: Partial<EngineConnectionInfo>;
  /** The time between two heartbeats, in ms. */
  readonly hbPeriod: number;
  /** How long the first heartbeat of a registering engine may take, in ms. */
  readonly registrationTimeout: number;
  /** Stores the registered engines for the next run; undefined stores nothing. */
  readonly engineState: EngineStateFile | undefined;
  readonly log: Logger;
  /** Notifies all clients that an engine was registered or unregistered. */
  readonly notify: (type: string, content: Dict) => void;
  /** Fails a task whose engine is no longer registered. */
  readonly failStranded: (msgId: string, uuid: string, id: number) => void;
}

/**
 * How long after its first heartbeat a restored engine is announced, in ms: its sockets reconnect one by one, and
 * ZeroMQ drops a task for a socket that is not connected yet.
 */
const RECONNECT_TIME = 1000;

/** Registers and unregisters engines: by request, by heartbeat, and after a restart of the controller. */
export class Registration {
  readonly #options: RegistrationOptions;
  /** The timers of engines that wait for their first heartbeat. */
  readonly #timers = new Map<string, NodeJS.Timeout>();
  /** Engines of the previous run without a heartbeat in this run. */
  readonly #restoredEngines = new Set<string>();

  constructor(options: RegistrationOptions) {
    this.#options = options;
  }

  /**
   * Loads the unfinished tasks of the previous run and, with `restoreEngines`, awaits its engines, which are
   * registered again from their next heartbeat on.
   */
  async continuePreviousRun(restoreEngines: boolean): Promise<void> {
    const { engineState, engines, schedulers, orphans, registrationTimeout, log } = this.#options;
    const state = await engineState?.read();
    const previousEngines = state?.engines ?? [];
    try {
      await orphans.load(previousEngines.map(({ uuid }) => uuid));
    } catch (error) {
      log.error('cannot read the unfinished tasks of the previous run', error);
    }
    for (const { id, uuid } of previousEngines) {
      if (restoreEngines) this.#restore(id, uuid);
      else this.#schedule(registrationTimeout, uuid, () => this.#failTasksOf(uuid, id));
    }
    if (restoreEngines) engines.reserve(state?.nextId ?? 0);
    if (restoreEngines && previousEngines.length > 0)
      log.info(`waiting for ${previousEngines.length} engines of the previous run`);
    for (const uuid of this.#restoredEngines) schedulers.awaitHeart(uuid);
  }

  #restore(id: number, uuid: string): void {
    const { engines, registrationTimeout, log } = this.#options;
    try {
      engines.begin(uuid, id);
    } catch (error) {
      log.warn(`cannot restore engine ${id} of the previous run`, error);
      return;
    }
    this.#restoredEngines.add(uuid);
    this.#schedule(registrationTimeout, uuid, () => this.#cancel(uuid));
  }

  /**
   * Begins the registration of the engine that sent the request.
   * @returns the content of the reply
   * @throws {ReportedError} when the uuid is invalid or in use
   */
  register(content: Dict): Dict {
    const { engines, hbPeriod, connectionInfo, registrationTimeout, schedulers, log } = this.#options;
    const { id, uuid } = engines.begin(content['uuid'], content['id']);
    this.#schedule(registrationTimeout, uuid, () => this.#cancel(uuid));
    schedulers.awaitHeart(uuid);
    log.debug(`engine ${id} (${uuid}) is registering`);
    return { status: 'ok', id, hb_period: hbPeriod, connection_info: connectionInfo };
  }

  newHeart(uuid: string): void {
    if (this.#restoredEngines.delete(uuid)) this.#schedule(RECONNECT_TIME, uuid, () => this.#complete(uuid));
    else this.#complete(uuid);
  }

  stoppedHeart(uuid: string): void {
    const { engines, log } = this.#options;
    const id = engines.idOf(uuid);
    if (id === undefined) {
      if (this.#timers.has(uuid)) this.#cancel(uuid);
      return;
    }
    log.warn(`engine ${id} (${uuid}) has stopped sending heartbeats`);
    this.#remove(id);
  }

  /** Unregisters an engine, or cancels its registration, by its id. */
  unregister(id: unknown): void {
    if (typeof id !== 'number' || this.#remove(id)) return;
    const engine = this.#options.engines.cancel(id);
    if (engine === undefined) return;
    this.#stopTimer(engine.uuid);
    this.#options.schedulers.forgetHeart(engine.uuid);
    this.#failTasksOf(engine.uuid, engine.id);
  }

  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  #complete(uuid: string): void {
    const { engines, tracker, schedulers, orphans, notify, log } = this.#options;
    const engine = engines.complete(uuid);
    if (engine === undefined) return;
    this.#stopTimer(uuid);
    tracker.addEngine(uuid);
    // Add the engine to the task queue before clients are notified, because they can then send it work at once.
    schedulers.addEngine(uuid);
    notify('registration_notification', { ...engine });
    log.info(`engine ${engine.id} (${uuid}) is registered`);
    orphans.restoreEngine(uuid);
    this.#save();
  }

  #cancel(uuid: string): void {
    const { engines, schedulers, registrationTimeout, log } = this.#options;
    this.#timers.delete(uuid);
    const engine = engines.cancel(uuid);
    if (engine === undefined) return;
    schedulers.forgetHeart(uuid);
    log.warn(
      `engine ${engine.id} (${uuid}) did not complete its registration: no heartbeat within ${registrationTimeout} ms`,
    );
    this.#failTasksOf(uuid, engine.id);
  }

  /** Fails the tasks of an engine of the previous run that did not return. */
  #failTasksOf(uuid: string, id: number): void {
    const { engines, orphans, failStranded } = this.#options;
    this.#timers.delete(uuid);
    if (!this.#restoredEngines.delete(uuid) && engines.idOf(uuid) !== undefined) return;
    for (const msgId of orphans.removeEngine(uuid)) failStranded(msgId, uuid, id);
    this.#save();
  }

  #remove(id: number): boolean {
    const { engines, tracker, schedulers, orphans, notify, failStranded, log } = this.#options;
    const engine = engines.remove(id);
    if (engine === undefined) return false;
    schedulers.removeEngine(engine.uuid);
    // Python hubs wait 30 seconds before they record this failure.
    const orphanedIds = orphans.removeEngine(engine.uuid);
    for (const msgId of new Set([...tracker.removeEngine(engine.uuid), ...orphanedIds])) {
      failStranded(msgId, engine.uuid, id);
    }
    notify('unregistration_notification', { ...engine });
    log.info(`engine ${id} (${engine.uuid}) is unregistered`);
    this.#save();
    return true;
  }

  #save(): void {
    const { list, nextId } = this.#options.engines;
    this.#options.engineState?.save({ engines: list, nextId });
  }

  #schedule(ms: number, uuid: string, run: () => void): void {
    clearTimeout(this.#timers.get(uuid));
    this.#timers.set(uuid, setTimeout(run, ms));
  }

  #stopTimer(uuid: string): void {
    clearTimeout(this.#timers.get(uuid));
    this.#timers.delete(uuid);
  }
}
