import {
  type AnyMessage,
  type Dict,
  type EngineConnectionInfo,
  InvalidQueryError,
  newId,
  type Session,
  splitFrames,
} from '@ipyparallel-js/protocol';
import { type Frames, type Intake, type Logger, RefusalCounter } from '@ipyparallel-js/wire';
import type { Clock } from '../common/clock.js';
import { countingIntake } from '../common/counting-intake.js';
import { errorContent, keyError, pyRepr, ReportedError } from '../common/errors.js';
import { RateLimit } from '../common/rate-limit.js';
import type { TaskDatabase } from '../db/task-database.js';
import type { Monitor, Schedulers } from '../thread-link/schedulers.js';
import { EngineRegistry } from './engines/engine-registry.js';
import type { EngineStateFile } from './engines/engine-state.js';
import { Registration } from './engines/registration.js';
import { ChangeWriter } from './recording/change-writer.js';
import { OrphanedTasks } from './recording/orphaned-tasks.js';
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

export interface HubOptions {
  readonly session: Session;
  readonly schedulers: Schedulers;
  /** Sends a message on the query socket; its first frame is the identity of the receiver. */
  readonly reply: (frames: Frames) => void;
  readonly db: TaskDatabase;
  /** Sent to registering engines; current engines use their connection file instead. */
  readonly connectionInfo: Partial<EngineConnectionInfo>;
  /** The time between two heartbeats, in ms. */
  readonly hbPeriod: number;
  /** How long the first heartbeat of a registering engine may take, in ms. */
  readonly registrationTimeout: number;
  readonly log: Logger;
  readonly clock: Clock;
  readonly subscriptions?: Partial<SubscriptionLimits>;
  /** Stores the registered engines for the next run; by default nothing is stored. */
  readonly engineState?: EngineStateFile;
  /** Whether the stored engines are kept when the hub closes; false by default. */
  readonly reuse?: boolean;
}

/** Requests whose failure a Python hub reports as `hub_error`; other requests get a reply of their own type. */
const HUB_ERROR_REQUESTS = new Set(['queue_request', 'load_request']);

/**
 * Registers engines, handles the requests of clients, and records copies of the traffic in the Task Database. Tasks do
 * not pass through it. Mirrors ipyparallel's Hub.
 */
export class Hub implements Monitor {
  readonly #options: HubOptions;
  readonly #state: HubState;
  readonly #subscriptions: Subscriptions;
  readonly #recorder: TrafficRecorder;
  readonly #refusals: RefusalCounter;
  readonly #intake: Intake;
  readonly #probeLimit = new RateLimit(20, 100);
  readonly #handlers: ReadonlyMap<string, RequestHandler>;
  readonly #registration: Registration;
  readonly #orphans: OrphanedTasks;

  constructor(options: HubOptions) {
    this.#options = options;
    const { session, db, schedulers, log, clock } = options;
    this.#refusals = new RefusalCounter(log);
    this.#intake = countingIntake(session, this.#refusals);
    const engines = new EngineRegistry();
    const tracker = new TaskTracker();
    const epoch = newId();
    const subscriptions = new Subscriptions({
      ...{ session, db, tracker, epoch, log, refusals: this.#refusals },
      send: (client, parent, type, reply) => this.#reply(client, parent, type, reply),
      flushCulled: () => writer.flushCulled(),
      ...(options.subscriptions === undefined ? {} : { limits: options.subscriptions }),
    });
    const writer = new ChangeWriter(
      db,
      {
        beforeWrite: (changes) => subscriptions.beforeWrite(changes),
        onWritten: (changes) => subscriptions.onWritten(changes),
        onCulled: ({ culled, culledTasks }) => {
          tracker.remove(culled);
          subscriptions.onRemoved(culled, new Map(culledTasks?.map((task) => [task.msg_id, task])));
        },
      },
      log,
    );
    const state: HubState = { engines, tracker, db, writer, schedulers, subscriptions, epoch };
    this.#state = state;
    this.#subscriptions = subscriptions;
    this.#orphans = new OrphanedTasks({
      ...{ db, tracker, session, schedulers },
      onTaskLost: (msgId, engine) => this.#recorder.failLost(msgId, engine),
    });
    this.#recorder = new TrafficRecorder({
      ...{ session, engines, tracker, writer, refusals: this.#refusals, log, clock },
      orphans: this.#orphans,
      onTaskStarted: (msgId) => subscriptions.onStarted(msgId),
      onEngineShutdown: (uuid) => {
        this.#registration.unregister(engines.idOf(uuid));
      },
    });
    const { connectionInfo, hbPeriod, registrationTimeout, engineState } = options;
    this.#registration = new Registration({
      ...{ engines, tracker, orphans: this.#orphans, schedulers, log },
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
   * Loads the unfinished tasks of the previous run and, with `restoreEngines`, awaits its engines, which are
   * registered again from their next heartbeat on.
   */
  continuePreviousRun({ restoreEngines }: { readonly restoreEngines: boolean }): Promise<void> {
    return this.#registration.continuePreviousRun(restoreEngines);
  }

  /** Stops the timers, writes all changes, and closes the Task Database. */
  async close(): Promise<void> {
    this.#registration.close();
    this.#orphans.close();
    const { engineState, reuse } = this.#options;
    await (reuse === true ? engineState?.flush() : engineState?.remove());
    await this.#state.writer.flush();
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
    const request = this.#intake.decode('request', frames);
    if (request === undefined) this.#replyToProbe(frames);
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
        this.#subscriptions.acknowledge(request.content, request);
        return;
      case 'subscription_renew':
        this.#subscriptions.renew(request.content, request);
        return;
      default:
        void this.#handle(client, request);
    }
  }

  /** Replies to a bare delimiter with a signed error, by which a client distinguishes a wrong key from a missing hub. */
  #replyToProbe(frames: readonly Buffer[]): void {
    try {
      const { idents, body } = splitFrames(frames);
      const client = idents[0];
      if (client === undefined || body.length > 0 || !this.#probeLimit.allow()) return;
      this.#reply(client, {}, 'hub_error', {
        content: errorContent('ValueError', 'the message has no parts'),
      });
    } catch {
      // The frames have no delimiter, so the sender is unknown.
    }
  }

  async #handle(client: Buffer, request: AnyMessage): Promise<void> {
    const type = request.msg_type;
    const handler = this.#handlers.get(type);
    try {
      if (handler === undefined) throw keyError(`Bad Message Type: ${pyRepr(type)}`);
      // Write the copies that arrived before this request, because the handler must find them in the Task Database.
      await this.#state.writer.flush();
      this.#reply(client, request.header, replyType(type), await handler(request.content, request));
    } catch (error) {
      const content = this.#errorContentOf(error, type);
      const errorType = handler === undefined || HUB_ERROR_REQUESTS.has(type) ? 'hub_error' : replyType(type);
      this.#reply(client, request.header, errorType, { content });
    }
  }

  #errorContentOf(error: unknown, type: string): Dict {
    if (error instanceof ReportedError) return error.content;
    if (error instanceof InvalidQueryError) return errorContent('InvalidQueryError', error.message);
    this.#options.log.error(`a ${type} failed`, error);
    const { name, message } = error instanceof Error ? error : { name: 'Error', message: String(error) };
    return errorContent(name, message);
  }

  #reply(client: Buffer, parent: Dict, type: string, reply: Reply): void {
    const { session, reply: send } = this.#options;
    const { content, ...parts } = reply;
    send(session.encode(session.rawMessage(type, content, { parent, ...parts }), [client]));
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
      content = this.#errorContentOf(error, 'registration_request');
      this.#options.log.warn(`refused a registration: ${String(content['evalue'])}`);
    }
    this.#reply(client, {}, 'registration_reply', { content });
  }

  #shutdown(client: Buffer, request: AnyMessage): void {
    const { log, schedulers } = this.#options;
    log.info('a client requested a shutdown');
    this.#reply(client, request.header, 'shutdown_reply', { content: { status: 'ok' } });
    this.#notify('shutdown_notification', { status: 'ok' });
    schedulers.shutdown();
  }
}

function replyType(requestType: string): string {
  return requestType.replace(/_request$/, '_reply');
}
