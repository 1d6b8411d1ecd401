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
import { type Logger, RefusalCounter } from '@ipyparallel-js/wire';
import type { Clock } from '../common/clock.js';
import { errorContent, keyError, pyRepr, ReportedError } from '../common/errors.js';
import { RateLimit } from '../common/rate-limit.js';
import type { TaskDatabase } from '../db/task-database.js';
import type { Monitor, Schedulers } from '../thread-link/schedulers.js';
import { EngineRegistry } from './engines/engine-registry.js';
import type { EngineStateFile } from './engines/engine-state.js';
import { Registration } from './engines/registration.js';
import { ChangeWriter } from './recording/change-writer.js';
import { EarlierTasks } from './recording/orphaned-tasks.js';
import { TaskTracker } from './recording/task-tracker.js';
import { TrafficRecorder } from './recording/traffic-recorder.js';
import type { HubState } from './requests/hub-state.js';
import { purgeRequest } from './requests/purge-request.js';
import { dbRequest, historyRequest } from './requests/query-requests.js';
import type { Reply, RequestHandler } from './requests/reply.js';
import { resubmitRequest } from './requests/resubmit-request.js';
import { resultRequest } from './requests/result-request.js';
import { connectionRequest, loadRequest, queueRequest } from './requests/status-requests.js';
import { type SubscriptionLimits, Subscriptions } from './subscriptions/subscriptions.js';

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

/** Requests whose failure a stock hub reports as `hub_error`; the others fail in a reply of their own type. */
const HUB_ERROR_FOR = new Set(['queue_request', 'load_request']);

/**
 * Registers engines, answers clients, and keeps the Task Database from copies of the traffic. It is never in the path
 * of a task. Mirrors ipyparallel's Hub.
 */
export class Hub implements Monitor {
  readonly #options: HubOptions;
  readonly #state: HubState;
  readonly #subscriptions: Subscriptions;
  readonly #recorder: TrafficRecorder;
  readonly #refusals: RefusalCounter;
  readonly #history: ReplayHistory;
  readonly #probes = new RateLimit(20, 100);
  readonly #handlers: ReadonlyMap<string, RequestHandler>;
  readonly #registration: Registration;
  readonly #earlier: EarlierTasks;

  constructor(options: HubOptions) {
    this.#options = options;
    const { session, db, schedulers, log, clock } = options;
    this.#refusals = new RefusalCounter(log);
    this.#history = session.newHistory();
    const engines = new EngineRegistry();
    const tracker = new TaskTracker();
    const epoch = newId();
    const subscriptions = new Subscriptions({
      ...{ session, db, tracker, epoch, log, refusals: this.#refusals },
      send: (client, parent, type, reply) => this.#reply(client, parent, type, reply),
      poke: () => writer.poke(),
      ...(options.subscriptions === undefined ? {} : { limits: options.subscriptions }),
    });
    const writer = new ChangeWriter(
      db,
      {
        beforeWrite: (changes) => subscriptions.beforeWrite(changes),
        onWritten: (changes) => subscriptions.written(changes),
        onCulled: ({ culled, culledTasks }) => {
          tracker.remove(culled);
          subscriptions.removed(culled, new Map(culledTasks?.map((task) => [task.msg_id, task])));
        },
      },
      log,
    );
    const state: HubState = { engines, tracker, db, writer, schedulers, subscriptions, epoch };
    this.#state = state;
    this.#subscriptions = subscriptions;
    this.#earlier = new EarlierTasks({
      ...{ db, tracker, session, schedulers },
      onLost: (msgId, engine) => this.#recorder.failLost(msgId, engine),
    });
    this.#recorder = new TrafficRecorder({
      ...{ session, engines, tracker, writer, refusals: this.#refusals, log, clock },
      earlier: this.#earlier,
      onBegun: (msgId) => subscriptions.begun(msgId),
      onEngineShutdown: (uuid) => {
        this.#registration.unregister(engines.idOf(uuid));
      },
    });
    const { connectionInfo, hbPeriod, registrationTimeout, engineState } = options;
    this.#registration = new Registration({
      ...{ engines, tracker, earlier: this.#earlier, schedulers, log },
      ...{ connectionInfo, hbPeriod, registrationTimeout, engineState },
      notify: (type, content) => this.#notify(type, content),
      failStranded: (msgId, uuid, id) => this.#recorder.failStranded(msgId, uuid, id),
    });
    this.#handlers = new Map<string, RequestHandler>([
      ['connection_request', connectionRequest(state)],
      ['queue_request', queueRequest(state)],
      ['load_request', loadRequest(state)],
      ['result_request', resultRequest(state)],
      ['history_request', historyRequest(state)],
      ['db_request', dbRequest(state, session)],
      ['purge_request', purgeRequest(state)],
      ['resubmit_request', resubmitRequest(state, session, clock)],
      ['subscribe_request', (content, request) => subscriptions.subscribe(content, request)],
      ['subscription_sync_request', (content, request) => subscriptions.sync(content, request)],
      ['unsubscribe_request', (content, request) => subscriptions.unsubscribe(content, request)],
    ]);
  }

  /**
   * Goes on from where an earlier life ended: what is unfinished, and with `restore` the engines that it had, which
   * count as registered again from their next beat on.
   */
  takeUp({ restore }: { readonly restore: boolean }): Promise<void> {
    return this.#registration.takeUp(restore);
  }

  /** Ends timers and closes the Task Database once everything is written. */
  async close(): Promise<void> {
    this.#registration.close();
    this.#earlier.close();
    const { engineState, reuse } = this.#options;
    await (reuse === true ? engineState?.settled() : engineState?.remove());
    await this.#state.writer.settled();
    this.#subscriptions.close();
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
        this.#registration.unregister(request.content['id']);
        return;
      case 'shutdown_request':
        this.#shutdown(client, request);
        return;
      case 'subscription_ack':
      case 'subscription_renew':
        this.#subscriptions.heard(request.content, request);
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

  #reply(client: Buffer, parent: Dict, type: string, reply: Reply): void {
    const { session, schedulers } = this.#options;
    const { content, ...parts } = reply;
    schedulers.reply(session.encode(session.rawMessage(type, content, { parent, ...parts }), [client]));
  }

  #notify(type: string, content: Dict): void {
    const { session, schedulers } = this.#options;
    schedulers.notify(session.encode(session.rawMessage(type, content)));
  }

  // Engines.

  newHeart(uuid: string): void {
    this.#registration.newHeart(uuid);
  }
  stoppedHeart(uuid: string): void {
    this.#registration.stoppedHeart(uuid);
  }

  #register(client: Buffer, request: Dict): void {
    let content: Dict;
    try {
      content = this.#registration.register(request);
    } catch (error) {
      content = this.#failure(error, 'registration_request');
      this.#options.log.warn(`a registration was refused: ${String(content['evalue'])}`);
    }
    this.#reply(client, {}, 'registration_reply', { content });
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
