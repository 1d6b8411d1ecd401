import type { Dict, EngineConnectionInfo } from '@ipyparallel-js/protocol';
import type { Logger } from '@ipyparallel-js/wire';
import type { Schedulers } from '../../thread-link/schedulers.js';
import type { EarlierTasks } from '../recording/orphaned-tasks.js';
import type { TaskTracker } from '../recording/task-tracker.js';
import type { EngineRegistry } from './engine-registry.js';
import type { EngineStateFile } from './engine-state.js';

/** What registration works with. */
export interface RegistrationParts {
  readonly engines: EngineRegistry;
  readonly tracker: TaskTracker;
  readonly earlier: EarlierTasks;
  readonly schedulers: Schedulers;
  /** What a registering engine is told; engines of today go by their connection file. */
  readonly connectionInfo: Partial<EngineConnectionInfo>;
  /** Between two heart beats, in ms. */
  readonly hbPeriod: number;
  /** How long a registering engine may take to its first beat, in ms. */
  readonly registrationTimeout: number;
  /** Where engines are written down, for a controller that takes them back; nowhere by default. */
  readonly engineState: EngineStateFile | undefined;
  readonly log: Logger;
  /** Tells all clients of an engine that came or went. */
  readonly notify: (type: string, content: Dict) => void;
  /** Records that a task's engine is gone. */
  readonly failStranded: (msgId: string, uuid: string, id: number) => void;
}

/**
 * An engine of an earlier life is announced so long after its first beat, in ms: its other sockets connect anew at
 * their own pace, and a task for one that is not there yet would be dropped.
 */
const RECONNECTING = 1000;

/** How engines come and go: by request, by their hearts, and over a restart of the controller. */
export class Registration {
  readonly #parts: RegistrationParts;
  /** Of engines that have registered and whose hearts have not beaten yet. */
  readonly #timers = new Map<string, NodeJS.Timeout>();
  /** Engines of an earlier life whose hearts have not beaten yet. */
  readonly #restored = new Set<string>();

  constructor(parts: RegistrationParts) {
    this.#parts = parts;
  }

  /**
   * Goes on from where an earlier life ended: what is unfinished, and with `restore` the engines that it had, which
   * count as registered again from their next beat on.
   */
  async takeUp(restore: boolean): Promise<void> {
    const { engineState, engines, schedulers, earlier, registrationTimeout, log } = this.#parts;
    const state = await engineState?.read();
    const known = state?.engines ?? [];
    try {
      await earlier.load(known.map(({ uuid }) => uuid));
    } catch (error) {
      log.error('the tasks that the run before left unfinished cannot be read', error);
    }
    for (const { id, uuid } of known) {
      if (restore) this.#restore(id, uuid);
      else this.#after(registrationTimeout, uuid, () => this.#leftBehind(uuid, id));
    }
    if (restore) engines.reserve(state?.nextId ?? 0);
    if (restore && known.length > 0) log.info(`${known.length} engines of the run before are awaited`);
    for (const uuid of this.#restored) schedulers.awaitHeart(uuid);
  }

  #restore(id: number, uuid: string): void {
    const { engines, registrationTimeout, log } = this.#parts;
    try {
      engines.begin(uuid, id);
    } catch (error) {
      log.warn(`engine ${id} of the run before is not taken back`, error);
      return;
    }
    this.#restored.add(uuid);
    this.#after(registrationTimeout, uuid, () => this.#giveUp(uuid));
  }

  /** Begins the registration that a request asks for, and gives the answer to it. @throws ReportedError */
  register(content: Dict): Dict {
    const { engines, hbPeriod, connectionInfo, registrationTimeout, schedulers, log } = this.#parts;
    const { id, uuid } = engines.begin(content['uuid'], content['id']);
    this.#after(registrationTimeout, uuid, () => this.#giveUp(uuid));
    schedulers.awaitHeart(uuid);
    log.debug(`engine ${id} (${uuid}) is registering`);
    return { status: 'ok', id, hb_period: hbPeriod, connection_info: connectionInfo };
  }

  newHeart(uuid: string): void {
    if (this.#restored.delete(uuid)) this.#after(RECONNECTING, uuid, () => this.#complete(uuid));
    else this.#complete(uuid);
  }

  stoppedHeart(uuid: string): void {
    const { engines, log } = this.#parts;
    const id = engines.idOf(uuid);
    if (id === undefined) {
      if (this.#timers.has(uuid)) this.#giveUp(uuid);
      return;
    }
    log.warn(`the heart of engine ${id} (${uuid}) has stopped`);
    this.#remove(id);
  }

  /** Ends a registration, complete or not, by the id of an engine. */
  unregister(id: unknown): void {
    if (typeof id !== 'number' || this.#remove(id)) return;
    const engine = this.#parts.engines.cancel(id);
    if (engine === undefined) return;
    this.#stopTimer(engine.uuid);
    this.#parts.schedulers.forgetHeart(engine.uuid);
    this.#leftBehind(engine.uuid, engine.id);
  }

  /** Ends what waits for hearts. */
  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  #complete(uuid: string): void {
    const { engines, tracker, schedulers, earlier, notify, log } = this.#parts;
    const engine = engines.complete(uuid);
    if (engine === undefined) return;
    this.#stopTimer(uuid);
    tracker.addEngine(uuid);
    // First the task queue, then the world: whoever hears of the engine can send it work.
    schedulers.addEngine(uuid);
    notify('registration_notification', { ...engine });
    log.info(`engine ${engine.id} (${uuid}) is registered`);
    earlier.engineIsBack(uuid);
    this.#save();
  }

  #giveUp(uuid: string): void {
    const { engines, schedulers, registrationTimeout, log } = this.#parts;
    this.#timers.delete(uuid);
    const engine = engines.cancel(uuid);
    if (engine === undefined) return;
    schedulers.forgetHeart(uuid);
    log.warn(
      `engine ${engine.id} (${uuid}) did not complete its registration: no heart beat within ${registrationTimeout} ms`,
    );
    this.#leftBehind(uuid, engine.id);
  }

  /** An engine of an earlier life is not there any more. */
  #leftBehind(uuid: string, id: number): void {
    const { engines, earlier, failStranded } = this.#parts;
    this.#timers.delete(uuid);
    if (!this.#restored.delete(uuid) && engines.idOf(uuid) !== undefined) return;
    for (const msgId of earlier.engineIsGone(uuid)) failStranded(msgId, uuid, id);
    this.#save();
  }

  #remove(id: number): boolean {
    const { engines, tracker, schedulers, earlier, notify, failStranded, log } = this.#parts;
    const engine = engines.remove(id);
    if (engine === undefined) return false;
    schedulers.removeEngine(engine.uuid);
    // A stock hub lets 30 seconds pass before it says so in the records.
    const stranded = earlier.engineIsGone(engine.uuid);
    for (const msgId of new Set([...tracker.removeEngine(engine.uuid), ...stranded])) {
      failStranded(msgId, engine.uuid, id);
    }
    notify('unregistration_notification', { ...engine });
    log.info(`engine ${id} (${engine.uuid}) is unregistered`);
    this.#save();
    return true;
  }

  #save(): void {
    const { all, nextId } = this.#parts.engines;
    this.#parts.engineState?.save({ engines: all, nextId });
  }

  #after(ms: number, uuid: string, then: () => void): void {
    clearTimeout(this.#timers.get(uuid));
    this.#timers.set(uuid, setTimeout(then, ms));
  }

  #stopTimer(uuid: string): void {
    clearTimeout(this.#timers.get(uuid));
    this.#timers.delete(uuid);
  }
}
