import {
  type AnyMessage,
  type Dict,
  type EngineConnectionInfo,
  InvalidQueryError,
  newId,
  type ReplayHistory,
  type Session,
  splitFrames,
} from '@ipyparallel-js/protocol';
import { type Logger, Refusals } from '@ipyparallel-js/wire';
import type { Clock } from '../clock.js';
import type { TaskDatabase } from '../db/task-database.js';
import { errorContent, keyError, pyRepr, ReportedError } from '../errors.js';
import type { Monitor, Schedulers } from '../link/schedulers.js';
import { ChangeWriter } from './change-writer.js';
import { EarlierTasks } from './earlier-tasks.js';
import { EngineRegistry } from './engine-registry.js';
import type { EngineStateFile } from './engine-state.js';
import { purgeRequest } from './purge-request.js';
import { dbRequest, historyRequest } from './query-requests.js';
import { RateLimit } from './rate-limit.js';
import type { Answer, Handler, HubState } from './requests.js';
import { resubmitRequest } from './resubmit-request.js';
import { resultRequest } from './result-request.js';
import { connectionRequest, loadRequest, queueRequest } from './status-requests.js';
import { type SubscriptionLimits, Subscriptions } from './subscriptions/subscriptions.js';
import { TaskTracker } from './task-tracker.js';
import { TrafficRecorder } from './traffic-recorder.js';

/** What a hub is made of. */
export interface HubOptions {
  readonly session: Session;
  readonly schedulers: Schedulers;
  readonly db: TaskDatabase;
  /** What a registering engine is told; engines of today go by their connection file. */
  readonly connectionInfo: Partial<EngineConnectionInfo>;
  /** Between two heart beats, in ms. */
  readonly hbPeriod: number;
  /** How long a registering engine may take to its first beat, in ms. */
  readonly registrationTimeout: number;
  readonly log: Logger;
  readonly clock: Clock;
  readonly subscriptions?: Partial<SubscriptionLimits>;
  /** Where engines are written down, for a controller that takes them back; nowhere by default. */
  readonly engineState?: EngineStateFile;
  /** Whether that is left there in the end, and with it the connection files. */
  readonly reuse?: boolean;
}

/**
 * An engine of an earlier life is announced so long after its first beat, in ms: its other sockets connect anew at
 * their own pace, and a task for one that is not there yet would be dropped.
 */
const RECONNECTING = 500;

/** Requests whose failure a stock hub reports as `hub_error`; the others fail in a reply of their own type. */
const HUB_ERROR_FOR = new Set(['queue_request', 'load_request']);

/**
 * Registers engines, answers clients, and keeps the Task Database from copies of the traffic. It is never in the path
 * of a task. Mirrors ipyparallel's Hub.
 */
export class Hub implements Monitor {
  readonly #options: HubOptions;
  readonly #state: HubState;
  readonly #engines = new EngineRegistry();
  readonly #tracker = new TaskTracker();
  readonly #recorder: TrafficRecorder;
  readonly #refusals: Refusals;
  readonly #history: ReplayHistory;
  readonly #probes = new RateLimit(20, 100);
  readonly #handlers: ReadonlyMap<string, Handler>;
  readonly #registrations = new Map<string, NodeJS.Timeout>();
  readonly #earlier: EarlierTasks;
  /** Engines of an earlier life whose hearts have not beaten yet. */
  readonly #restored = new Set<string>();

  constructor(options: HubOptions) {
    this.#options = options;
    const { session, db, schedulers, log, clock } = options;
    this.#refusals = new Refusals(log);
    this.#history = session.newHistory();
    const tracker = this.#tracker;
    const epoch = newId();
    const subscriptions = new Subscriptions({
      ...{ session, db, tracker, epoch, log, refusals: this.#refusals },
      send: (client, parent, type, answer) => this.#reply(client, parent, type, answer),
      poke: () => writer.poke(),
      ...(options.subscriptions === undefined ? {} : { limits: options.subscriptions }),
    });
    const writer = new ChangeWriter(
      db,
      {
        onWritten: (changes) => subscriptions.written(changes),
        onCulled: (culled) => {
          tracker.remove(culled);
          subscriptions.removed(culled);
        },
      },
      log,
    );
    const state = { engines: this.#engines, tracker, db, writer, schedulers, subscriptions, epoch };
    this.#state = state;
    this.#earlier = new EarlierTasks({
      ...{ db, tracker, session, schedulers },
      onLost: (msgId, engine) => this.#recorder.failLost(msgId, engine),
    });
    this.#recorder = new TrafficRecorder({
      ...{ session, engines: this.#engines, tracker, writer, refusals: this.#refusals, log, clock },
      earlier: this.#earlier,
      onBegun: (msgId) => subscriptions.begun(msgId),
      onEngineShutdown: (uuid) => {
        const id = this.#engines.idOf(uuid);
        if (id !== undefined) this.#unregister(id);
      },
    });
    this.#handlers = new Map<string, Handler>([
      ['connection_request', connectionRequest(state)],
      ['queue_request', queueRequest(state)],
      ['load_request', loadRequest(state)],
      ['result_request', resultRequest(state)],
      ['history_request', historyRequest(state)],
      ['db_request', dbRequest(state, session)],
      ['purge_request', purgeRequest(state)],
      ['resubmit_request', resubmitRequest(state, session, clock)],
      ['subscribe_request', (content, request) => subscriptions.subscribe(content, request)],
      ['unsubscribe_request', (content, request) => subscriptions.unsubscribe(content, request)],
    ]);
  }

  /**
   * Goes on from where an earlier life ended: what is unfinished, and with `restore` the engines that it had, which
   * count as registered again from their next beat on.
   */
  async takeUp({ restore }: { readonly restore: boolean }): Promise<void> {
    const { engineState, schedulers, registrationTimeout, log } = this.#options;
    const state = await engineState?.read();
    const engines = state?.engines ?? [];
    try {
      await this.#earlier.load(engines.map(({ uuid }) => uuid));
    } catch (error) {
      log.error('the tasks that the run before left unfinished cannot be read', error);
    }
    for (const { id, uuid } of engines) {
      if (restore) this.#restore(id, uuid);
      else
        this.#registrations.set(
          uuid,
          setTimeout(() => this.#leftBehind(uuid, id), registrationTimeout),
        );
    }
    if (restore) this.#engines.reserve(state?.nextId ?? 0);
    if (restore && engines.length > 0) log.info(`${engines.length} engines of the run before are awaited`);
    for (const uuid of this.#restored) schedulers.awaitHeart(uuid);
  }

  #restore(id: number, uuid: string): void {
    try {
      this.#engines.begin(uuid, id);
    } catch (error) {
      this.#options.log.warn(`engine ${id} of the run before is not taken back`, error);
      return;
    }
    this.#restored.add(uuid);
    this.#registrations.set(
      uuid,
      setTimeout(() => this.#giveUp(uuid), this.#options.registrationTimeout),
    );
  }

  /** Ends timers and closes the Task Database once everything is written. */
  async close(): Promise<void> {
    for (const timer of this.#registrations.values()) clearTimeout(timer);
    this.#earlier.close();
    const { engineState, reuse } = this.#options;
    await (reuse === true ? engineState?.settled() : engineState?.remove());
    await this.#state.writer.settled();
    this.#state.subscriptions.close();
    await this.#options.db.close();
  }

  // Copies of the traffic.

  directRequest(frames: readonly Buffer[]): void {
    this.#recorder.directRequest(frames);
  }
  directReply(frames: readonly Buffer[]): void {
    this.#recorder.directReply(frames);
  }
  taskRequest(frames: readonly Buffer[]): void {
    this.#recorder.taskRequest(frames);
  }
  taskReply(frames: readonly Buffer[]): void {
    this.#recorder.taskReply(frames);
  }
  taskAssigned(msgId: string, engine: string): void {
    this.#recorder.taskAssigned(msgId, engine);
  }
  output(frames: readonly Buffer[]): void {
    this.#recorder.output(frames);
  }

  // Requests.

  query(frames: readonly Buffer[]): void {
    const request = this.#decodeQuery(frames);
    const client = request?.idents[0];
    if (request === undefined || client === undefined) return;
    switch (request.msg_type) {
      case 'registration_request':
        this.#register(client, request.content);
        return;
      case 'unregistration_request':
        this.#unregisterBy(request.content['id']);
        return;
      case 'shutdown_request':
        this.#shutdown(client, request);
        return;
      case 'subscription_ack':
      case 'subscription_renew':
        this.#state.subscriptions.heard(request.content, request);
        return;
      default:
        void this.#answer(client, request);
    }
  }

  #decodeQuery(frames: readonly Buffer[]): AnyMessage | undefined {
    try {
      return this.#options.session.decode(frames, this.#history);
    } catch (error) {
      this.#refusals.count(`a request: ${error instanceof Error ? error.message : String(error)}`);
      this.#answerProbe(frames);
      return undefined;
    }
  }

  /** A bare delimiter draws a signed error, by which a client tells a wrong key from a hub that is not there. */
  #answerProbe(frames: readonly Buffer[]): void {
    try {
      const { idents, body } = splitFrames(frames);
      const client = idents[0];
      if (client === undefined || body.length > 0 || !this.#probes.allow()) return;
      this.#reply(client, {}, 'hub_error', {
        content: errorContent('ValueError', 'the message has no parts'),
      });
    } catch {
      // Not even a delimiter: counted above, and nobody to answer.
    }
  }

  async #answer(client: Buffer, request: AnyMessage): Promise<void> {
    const type = request.msg_type;
    const handler = this.#handlers.get(type);
    try {
      if (handler === undefined) throw keyError(`Bad Message Type: ${pyRepr(type)}`);
      // The copies that came before this request are in the Task Database before it is answered.
      await this.#state.writer.settled();
      this.#reply(client, request.header, replyType(type), await handler(request.content, request));
    } catch (error) {
      const content = this.#failure(error, type);
      const failed = handler === undefined || HUB_ERROR_FOR.has(type) ? 'hub_error' : replyType(type);
      this.#reply(client, request.header, failed, { content });
    }
  }

  #failure(error: unknown, type: string): Dict {
    if (error instanceof ReportedError) return error.content;
    if (error instanceof InvalidQueryError) return errorContent('InvalidQueryError', error.message);
    this.#options.log.error(`a ${type} could not be answered`, error);
    const { name, message } = error instanceof Error ? error : { name: 'Error', message: String(error) };
    return errorContent(name, message);
  }

  #reply(client: Buffer, parent: Dict, type: string, answer: Answer): void {
    const { session, schedulers } = this.#options;
    const { content, ...beside } = answer;
    schedulers.reply(session.encode(session.rawMessage(type, content, { parent, ...beside }), [client]));
  }

  #notify(type: string, content: Dict): void {
    const { session, schedulers } = this.#options;
    schedulers.notify(session.encode(session.rawMessage(type, content)));
  }

  // Engines.

  #register(client: Buffer, content: Dict): void {
    const { hbPeriod, connectionInfo, registrationTimeout, schedulers, log } = this.#options;
    try {
      const { id, uuid } = this.#engines.begin(content['uuid'], content['id']);
      const timer = setTimeout(() => this.#giveUp(uuid), registrationTimeout);
      clearTimeout(this.#registrations.get(uuid));
      this.#registrations.set(uuid, timer);
      schedulers.awaitHeart(uuid);
      const answer = { status: 'ok', id, hb_period: hbPeriod, connection_info: connectionInfo };
      this.#reply(client, {}, 'registration_reply', { content: answer });
      log.debug(`engine ${id} (${uuid}) is registering`);
    } catch (error) {
      const content = this.#failure(error, 'registration_request');
      log.warn(`a registration was refused: ${String(content['evalue'])}`);
      this.#reply(client, {}, 'registration_reply', { content });
    }
  }

  #giveUp(uuid: string): void {
    this.#registrations.delete(uuid);
    const engine = this.#engines.cancel(uuid);
    if (engine === undefined) return;
    this.#options.schedulers.forgetHeart(uuid);
    this.#options.log.warn(
      `engine ${engine.id} (${uuid}) did not complete its registration: no heart beat within ${this.#options.registrationTimeout} ms`,
    );
    this.#leftBehind(uuid, engine.id);
  }

  /** An engine of an earlier life is not there any more. */
  #leftBehind(uuid: string, id: number): void {
    this.#registrations.delete(uuid);
    if (!this.#restored.delete(uuid) && this.#engines.idOf(uuid) !== undefined) return;
    for (const msgId of this.#earlier.engineIsGone(uuid)) this.#recorder.failStranded(msgId, uuid, id);
    this.#saveEngines();
  }

  #saveEngines(): void {
    const { all, nextId } = this.#engines;
    this.#options.engineState?.save({ engines: all, nextId });
  }

  newHeart(uuid: string): void {
    if (!this.#restored.delete(uuid)) {
      this.#complete(uuid);
      return;
    }
    clearTimeout(this.#registrations.get(uuid));
    this.#registrations.set(
      uuid,
      setTimeout(() => this.#complete(uuid), RECONNECTING),
    );
  }

  #complete(uuid: string): void {
    const engine = this.#engines.complete(uuid);
    if (engine === undefined) return;
    clearTimeout(this.#registrations.get(uuid));
    this.#registrations.delete(uuid);
    this.#tracker.addEngine(uuid);
    // First the task queue, then the world: whoever hears of the engine can send it work.
    this.#options.schedulers.addEngine(uuid);
    this.#notify('registration_notification', { ...engine });
    this.#options.log.info(`engine ${engine.id} (${uuid}) is registered`);
    this.#earlier.engineIsBack(uuid);
    this.#saveEngines();
  }

  stoppedHeart(uuid: string): void {
    const id = this.#engines.idOf(uuid);
    if (id === undefined) {
      if (this.#registrations.has(uuid)) this.#giveUp(uuid);
      return;
    }
    this.#options.log.warn(`the heart of engine ${id} (${uuid}) has stopped`);
    this.#unregister(id);
  }

  #unregisterBy(id: unknown): void {
    if (typeof id !== 'number' || this.#unregister(id)) return;
    const engine = this.#engines.cancel(id);
    if (engine === undefined) return;
    clearTimeout(this.#registrations.get(engine.uuid));
    this.#registrations.delete(engine.uuid);
    this.#options.schedulers.forgetHeart(engine.uuid);
    this.#leftBehind(engine.uuid, engine.id);
  }

  #unregister(id: number): boolean {
    const engine = this.#engines.remove(id);
    if (engine === undefined) return false;
    const { schedulers, log } = this.#options;
    schedulers.removeEngine(engine.uuid);
    // A stock hub lets 30 seconds pass before it says so in the records.
    const earlier = this.#earlier.engineIsGone(engine.uuid);
    for (const msgId of new Set([...this.#tracker.removeEngine(engine.uuid), ...earlier])) {
      this.#recorder.failStranded(msgId, engine.uuid, id);
    }
    this.#notify('unregistration_notification', { ...engine });
    log.info(`engine ${id} (${engine.uuid}) is unregistered`);
    this.#saveEngines();
    return true;
  }

  #shutdown(client: Buffer, request: AnyMessage): void {
    const { log, schedulers } = this.#options;
    log.info('a client asked for shutdown');
    this.#reply(client, request.header, 'shutdown_reply', { content: { status: 'ok' } });
    this.#notify('shutdown_notification', { status: 'ok' });
    schedulers.shutdown();
  }
}

function replyType(requestType: string): string {
  return requestType.replace(/_request$/, '_reply');
}
