import { type AnyMessage, type Dict, parentId, type Session } from '@ipyparallel-js/protocol';
import { getOwnString } from '@ipyparallel-js/protocol/internal';
import type { Intake, Logger, RefusalCounter } from '@ipyparallel-js/wire';
import type { Clock } from '../../common/clock.js';
import { countingIntake } from '../../common/counting-intake.js';
import { errorContent } from '../../common/errors.js';
import type { TaskFields } from '../../db/task-database.js';
import type { ChangeWriter } from './change-writer.js';
import type { OrphanedTasks } from './orphaned-tasks.js';
import { fieldsOfReply, fieldsOfStranded, storedDate, taskOfRequest } from './task-records.js';
import type { TaskTracker } from './task-tracker.js';

/** The ids of engines by uuid. */
export interface EngineIds {
  /** The id of a registered engine. */
  idOf(uuid: string): number | undefined;
  /** The id of an engine that is no longer registered. */
  idOfDepartedEngine(uuid: string): number | undefined;
}

export interface TrafficRecorderOptions {
  readonly session: Session;
  readonly engines: EngineIds;
  readonly tracker: TaskTracker;
  readonly writer: ChangeWriter;
  readonly orphans: OrphanedTasks;
  /** Called when an engine reports on iopub that it has shut down. */
  readonly onEngineShutdown: (uuid: string) => void;
  /** Called when an engine begins to run a task. */
  readonly onTaskStarted: (msgId: string) => void;
  readonly refusals: RefusalCounter;
  readonly log: Logger;
  readonly clock: Clock;
}

/** Turns copies of the traffic into task records. Each kind of copy has its own replay history. */
export class TrafficRecorder {
  readonly #options: TrafficRecorderOptions;
  readonly #intake: Intake;

  constructor(options: TrafficRecorderOptions) {
    this.#options = options;
    this.#intake = countingIntake(options.session, options.refusals, 'the copy of a');
  }

  /** [engine, client, delimiter, request] */
  directRequest(frames: readonly Buffer[]): void {
    const request = this.#intake.decode('direct request', frames);
    const uuid = request?.idents[0]?.toString('utf8');
    if (request === undefined || uuid === undefined) return;
    const { engines, tracker, writer, clock } = this.#options;
    const departedId = engines.idOfDepartedEngine(uuid);
    if (engines.idOf(uuid) === undefined && departedId === undefined) {
      this.#options.refusals.count('a direct request to an engine that is not registered');
      return;
    }
    writer.push({ op: 'add', task: taskOfRequest(request, 'mux', uuid, clock.wireNow()) });
    tracker.submitDirect(request.msg_id, uuid);
    // The client sent the request before it was notified that the engine was unregistered; no reply will arrive.
    if (departedId !== undefined) this.failStranded(request.msg_id, uuid, departedId);
  }

  /** [client, engine, delimiter, reply] */
  directReply(frames: readonly Buffer[]): void {
    const reply = this.#intake.decode('direct reply', frames);
    const engine = reply?.idents[1]?.toString('utf8');
    const msgId = reply === undefined ? undefined : parentId(reply);
    if (reply === undefined || msgId === undefined) return;
    const { tracker, writer, orphans, clock, log } = this.#options;
    const isOrphan = orphans.remove(msgId);
    if (!isOrphan && !tracker.pendingIds.has(msgId) && !tracker.strandedIds.delete(msgId)) {
      if (orphans.handleProbeReply(msgId)) return;
      log.debug(`ignored a reply to ${msgId}, which is not a pending direct task`);
      return;
    }
    tracker.finish(msgId, engine, true);
    writer.push({ op: 'update', msgId, set: fieldsOfReply(reply, clock.wireNow()) });
  }

  /** [client, delimiter, request] */
  taskRequest(frames: readonly Buffer[]): void {
    const request = this.#intake.decode('task request', frames);
    if (request === undefined) return;
    this.#options.writer.push({
      op: 'add',
      task: taskOfRequest(request, 'task', null, this.#options.clock.wireNow()),
    });
    this.#options.tracker.submitTask(request.msg_id);
  }

  /** [client, engine, delimiter, reply]; without `engine` if the task queue itself replied. */
  taskReply(frames: readonly Buffer[]): void {
    const reply = this.#intake.decode('task reply', frames);
    const msgId = reply === undefined ? undefined : parentId(reply);
    if (reply === undefined || msgId === undefined) return;
    const { tracker, writer, orphans, clock, log } = this.#options;
    const isOrphan = orphans.remove(msgId);
    if (!isOrphan && !tracker.pendingIds.has(msgId) && !tracker.strandedIds.delete(msgId)) {
      log.debug(`ignored a reply to ${msgId}, which is not a pending task`);
      return;
    }
    const engine = getOwnString(reply.metadata, 'engine') ?? '';
    tracker.finish(msgId, engine, reply.metadata['status'] !== 'aborted');
    writer.push({
      op: 'update',
      msgId,
      set: { ...fieldsOfReply(reply, clock.wireNow()), engine_uuid: engine },
    });
  }

  taskAssigned(msgId: string, engine: string): void {
    this.#options.tracker.assign(msgId, engine);
    this.#options.writer.push({ op: 'update', msgId, set: { engine_uuid: engine } });
  }

  /** [topic, delimiter, message] */
  output(frames: readonly Buffer[]): void {
    const message = this.#intake.decode('output message', frames);
    if (message === undefined) return;
    if (message.msg_type === 'shutdown_reply') {
      this.#options.onEngineShutdown(message.header.session);
      return;
    }
    const msgId = parentId(message);
    // Output of a purged task must not create a record again.
    if (msgId === undefined || this.#options.tracker.removedIds.has(msgId)) return;
    const { content, msg_type: type } = message;
    if (type === 'execute_input' || (type === 'status' && content['execution_state'] === 'busy')) {
      this.#recordStart(msgId, message);
    }
    const text = getOwnString(content, 'text');
    if (type === 'stream') {
      const name = content['name'];
      if ((name !== 'stdout' && name !== 'stderr') || text === undefined) return;
      this.#options.writer.push({ op: 'update', msgId, append: { [name]: text }, orAdd: true });
      return;
    }
    const set = fieldsOfOutput(message);
    if (set !== undefined) this.#options.writer.push({ op: 'update', msgId, set, orAdd: true });
  }

  #recordStart(msgId: string, { header }: AnyMessage): void {
    const { tracker, clock, onTaskStarted } = this.#options;
    if (tracker.begin(msgId, storedDate(header.date) ?? clock.wireNow())) onTaskStarted(msgId);
  }

  /** Fails a task whose engine is no longer registered. */
  failStranded(msgId: string, engine: string, id: number): void {
    const content = errorContent('EngineError', `Engine ${id} died while running task '${msgId}'`);
    this.#failTask(msgId, engine, content);
  }

  /** Fails a task that its engine no longer has, because its result was lost with the previous controller. */
  failLost(msgId: string, engine: string): void {
    const content = errorContent(
      'TaskLost',
      `task '${msgId}' was lost when the controller was restarted: its engine has replied to all its other tasks`,
    );
    this.#failTask(msgId, engine, content);
  }

  #failTask(msgId: string, engine: string, content: Dict): void {
    const { tracker, writer, clock } = this.#options;
    tracker.finish(msgId, undefined, false);
    tracker.strandedIds.add(msgId);
    writer.push({ op: 'update', msgId, set: fieldsOfStranded(content, engine, clock.wireNow()) });
  }
}

function fieldsOfOutput({ msg_type, content }: AnyMessage): TaskFields | undefined {
  switch (msg_type) {
    case 'execute_input': {
      const code = getOwnString(content, 'code');
      return code === undefined ? undefined : { execute_input: code };
    }
    case 'execute_result':
      return { execute_result: content };
    case 'display_data':
      return { display_data: content };
    case 'error':
      return { error: content };
    default:
      return undefined;
  }
}
