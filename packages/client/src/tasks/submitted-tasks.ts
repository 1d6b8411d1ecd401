import {
  type AnyMessage,
  type Dict,
  isMessageOf,
  type PickleLimits,
  parentId,
} from '@ipyparallel-js/protocol';
import { getOwnString, getOwn as ownValue } from '@ipyparallel-js/protocol/internal';
import { engineDied } from '../engines/engine-died.js';
import type { EngineRegistry } from '../engines/engine-registry.js';
import { dateIn, dateOf, idsIn, readOutput } from './read-output.js';
import { ResultCache, type ResultCacheLimits } from './result-cache.js';
import { SubmissionHistory } from './submission-history.js';
import { Task, type TaskOwner } from './task.js';
import { neverRan, readOutcome, replyStatus } from './task-outcome.js';

interface OwnTask {
  readonly task: Task;
  /** Bound to one engine, so lost with it; a load-balanced task is the scheduler's to fail. */
  readonly direct: boolean;
  /** Whether the hub is asked for its result, since its reply may have been lost. */
  followedByHub: boolean;
  /** Whether a broadcast scheduler gathers the replies of several engines in one. */
  readonly coalescing: boolean;
  /** Its reply, from when it came. */
  answer: AnyMessage | undefined;
  /** The same until its outcome was read from it. */
  reply: AnyMessage | undefined;
  /** The engines that are through with it. */
  readonly idle: Set<string>;
  timer: NodeJS.Timeout | undefined;
}

/** What a request says of its task. */
export interface TaskRequest {
  readonly header: Dict;
  readonly metadata: Dict;
  readonly content: Dict;
}

/** What own tasks need of their surroundings. */
export interface SubmittedTasksContext {
  readonly registry: EngineRegistry;
  readonly owner?: TaskOwner;
  readonly limits?: ResultCacheLimits;
  readonly pickleLimits?: Partial<PickleLimits>;
  /** Output that could not be read. */
  readonly onUnreadable?: () => void;
}

/** Output travels on another socket than the reply; this long it is waited for after the reply of an `execute`. */
const OUTPUT_GRACE_MS = 1_000;
/** Output that comes later still is taken, this long; then it is taken for lost. */
const LATE_OUTPUT_MS = 10_000;
/** A reply that was on its way when its engine went counts still. */
const UNREGISTERED_GRACE_MS = 200;

/** The tasks that this client submitted: replies and output are matched to them by msg_id. */
export class SubmittedTasks {
  readonly #context: SubmittedTasksContext;
  readonly #registry: EngineRegistry;
  /** Those whose result or output is still to come. */
  readonly #active = new Map<string, OwnTask>();
  readonly #history = new SubmissionHistory();
  /** The tasks that have ended. */
  readonly resultCache: ResultCache;

  constructor(context: SubmittedTasksContext) {
    this.#context = context;
    this.#registry = context.registry;
    this.resultCache = new ResultCache(context.limits);
  }

  /** Follows a task from before it is sent. `engineUuid` makes it a direct one; the request says the rest of it. */
  add(msgId: string, engineUuid?: string, request?: TaskRequest): Task {
    const { owner } = this.#context;
    const task = new Task(msgId, {
      sent: false,
      engineId: (uuid) => this.#registry.idOf(uuid),
      ...(owner === undefined ? {} : { owner }),
      ...(engineUuid === undefined ? {} : { status: 'assigned', engineUuid }),
    });
    task.describe({ submitted: new Date() });
    if (request !== undefined) describeRequest(task, request);
    const own: OwnTask = {
      task,
      direct: engineUuid !== undefined,
      followedByHub: false,
      coalescing: request !== undefined && ownValue(request.metadata, 'is_coalescing') === true,
      answer: undefined,
      reply: undefined,
      idle: new Set(),
      timer: undefined,
    };
    this.#active.set(msgId, own);
    this.#history.add(msgId);
    // However it ends, by its reply, a refusal or the hub's record: then it is held only until it is read.
    void task.outputDone.then(() => {
      clearTimeout(own.timer);
      if (this.#active.get(msgId) === own) this.#active.delete(msgId);
      this.resultCache.add(task);
    });
    return task;
  }

  /** A task of ours that is held here or elsewhere in this process; undefined for one that the hub must be asked about. */
  get(msgId: string): Task | undefined {
    return this.#active.get(msgId)?.task ?? this.resultCache.get(msgId);
  }

  /** All that is held here: without a result yet, or not read yet. */
  *held(): Generator<Task, void, undefined> {
    yield* this.resultCache.unread();
    for (const { task } of this.#active.values()) yield task;
  }

  /** The msg_ids of what was submitted, in order; the newest 10,000. Mirrors ipyparallel `Client.history`. */
  get history(): string[] {
    return this.#history.ids;
  }

  /** Whether a task is one of the history. */
  hasSubmitted(msgId: string): boolean {
    return this.#history.has(msgId);
  }

  get historyLength(): number {
    return this.#history.length;
  }

  /** The msg_ids that have no result yet. Mirrors ipyparallel `Client.outstanding`. */
  get outstanding(): string[] {
    return this.#unfinished().map(({ task }) => task.msgId);
  }

  /** The tasks that have no result yet. */
  unfinished(): Task[] {
    return this.#unfinished().map(({ task }) => task);
  }

  /** Whether a task is bound to one engine. */
  isDirect(msgId: string): boolean {
    return this.#active.get(msgId)?.direct === true;
  }

  /** From now on the hub is asked for these (`FollowedTasks.adopt`); a reply that comes here still counts, if it is first. */
  followByHub(tasks: Iterable<Task>): void {
    for (const { msgId } of tasks) {
      const own = this.#active.get(msgId);
      if (own !== undefined) own.followedByHub = true;
    }
  }

  /** The ids of the tasks held here that these engines have or had. */
  idsOn(engineUuids: ReadonlySet<string>): string[] {
    const tasks = [...this.held()].filter(({ engineUuid }) => engineUuids.has(engineUuid ?? ''));
    return tasks.map(({ msgId }) => msgId);
  }

  /** Forgets tasks that have ended. */
  forget(msgIds: Iterable<string>): void {
    for (const msgId of msgIds) {
      const own = this.#active.get(msgId);
      if (own !== undefined && own.task.outcome === undefined) continue;
      this.#active.delete(msgId);
      this.resultCache.delete(msgId);
      this.#history.delete(msgId);
    }
  }

  /** Takes a reply of a mux, task or broadcast socket; false when it answers nothing of ours. */
  onReply(message: AnyMessage): boolean {
    const own = this.#active.get(answeredId(message) ?? '');
    if (own === undefined || own.task.outcome !== undefined || own.reply !== undefined) return false;
    const { task } = own;
    const engineUuid = getOwnString(message.metadata, 'engine');
    if (engineUuid !== undefined) task.assign(engineUuid);
    own.reply = message;
    own.answer = message;
    task.describe({
      received: new Date(),
      completed: dateIn(message.header, 'date') ?? null,
      started: dateIn(message.metadata, 'started') ?? null,
      status: replyStatus(message.content),
      // Python engines say that they are busy with a task also when they only take it from the queue to abort it.
      ...(neverRan(message.content) ? { begun: null } : {}),
    });
    if (message.msg_type === 'execute_reply' && outputToCome(own, message)) {
      this.#after(own, OUTPUT_GRACE_MS, () => this.#finish(own));
    } else this.#finish(own);
    return true;
  }

  /** Takes a message of the iopub socket; most concern the tasks of others. */
  onOutput(message: AnyMessage): void {
    const own = this.#active.get(parentId(message) ?? '');
    if (own === undefined) return;
    const { task } = own;
    const engineUuid = getOwnString(message.metadata, 'engine');
    if (isMessageOf(message, 'status')) {
      if (engineUuid !== undefined) task.assign(engineUuid);
      this.#onState(own, message.content.execution_state, message);
      return;
    }
    if (isMessageOf(message, 'execute_input')) {
      task.begin(dateOf(message));
      task.describe({ executeInput: String(message.content.code) });
      return;
    }
    try {
      const output = readOutput(message);
      if (output !== undefined) task.emit(output);
    } catch {
      this.#context.onUnreadable?.();
    }
  }

  /** An engine is gone: what was bound to it fails, unless its reply is already here. */
  onEngineGone(engineUuid: string): void {
    const lost = this.#unfinished().filter(
      (own) => own.direct && !own.followedByHub && own.task.engineUuid === engineUuid,
    );
    if (lost.length === 0) return;
    setTimeout(() => {
      for (const { task, reply, followedByHub } of lost) {
        if (reply !== undefined || followedByHub) continue;
        const error = engineDied(task.msgId, engineUuid, this.#registry.idOf(engineUuid));
        task.settle({ ok: false, error }, 'failed');
      }
    }, UNREGISTERED_GRACE_MS).unref();
  }

  /** Everything unfinished fails, and no more output comes. */
  failAll(error: Error): void {
    for (const { task } of [...this.#active.values()]) {
      if (!task.settle({ ok: false, error }, task.status)) task.endOutput();
    }
  }

  #onState(own: OwnTask, state: string, message: AnyMessage): void {
    const { task, idle } = own;
    if (state !== 'idle') {
      // A task that is tried again elsewhere begins anew.
      if (!own.coalescing) idle.clear();
      if (state === 'busy') task.begin(dateOf(message));
      return;
    }
    idle.add(getOwnString(message.metadata, 'engine') ?? '');
    const { reply, answer } = own;
    if (answer === undefined || outputToCome(own, answer)) return;
    if (reply !== undefined) this.#finish(own);
    else task.endOutput();
  }

  #unfinished(): OwnTask[] {
    return [...this.#active.values()].filter(({ task }) => task.outcome === undefined);
  }

  #after(own: OwnTask, ms: number, then: () => void): void {
    clearTimeout(own.timer);
    own.timer = setTimeout(then, ms);
    own.timer.unref();
  }

  #finish(own: OwnTask): void {
    const { task, reply } = own;
    if (reply === undefined) return;
    own.reply = undefined;
    const { outcome, status } = readOutcome({
      msgType: reply.msg_type,
      content: reply.content,
      buffers: reply.buffers,
      coalesced: isCoalesced(reply),
      executeResult: task.metadata.executeResult,
      stdout: task.stdout,
      stderr: task.stderr,
      engineUuid: task.engineUuid,
      engineId: task.metadata.engineId ?? undefined,
      pickleLimits: this.#context.pickleLimits,
    });
    task.weigh(reply.buffers.reduce((sum, buffer) => sum + buffer.byteLength, 0));
    const moreOutput = outputToCome(own, reply);
    if (moreOutput) this.#after(own, LATE_OUTPUT_MS, () => task.endOutput());
    task.settle(outcome, status, { moreOutput });
  }
}

function describeRequest(task: Task, { header, metadata, content }: TaskRequest): void {
  const submitted = dateIn(header, 'date');
  const code = getOwnString(content, 'code');
  task.describe({
    ...(submitted === undefined ? {} : { submitted }),
    ...(code === undefined ? {} : { executeInput: code }),
    label: getOwnString(metadata, 'label') ?? null,
    after: idsIn(metadata, 'after'),
    follow: idsIn(metadata, 'follow'),
  });
}

/** Whether an engine that had the task has not yet said that it is through with it. */
function outputToCome({ idle, task }: OwnTask, { content, metadata }: AnyMessage): boolean {
  // What was aborted before it ran puts nothing out, nor does what failed because its engine is gone.
  if (neverRan(content) || (replyStatus(content) === 'aborted' && task.begun === null)) return false;
  if (getOwnString(content, 'ename') === 'EngineError') return false;
  const targets = ownValue(metadata, 'broadcast_targets');
  return idle.size < (Array.isArray(targets) && targets.length > 0 ? targets.length : 1);
}

/** One reply that a broadcast scheduler made of those of all engines. */
function isCoalesced({ metadata }: AnyMessage): boolean {
  return ownValue(metadata, 'is_broadcast') === true && ownValue(metadata, 'is_coalescing') === true;
}

function answeredId(message: AnyMessage): string | undefined {
  return (
    (isCoalesced(message) ? getOwnString(message.metadata, 'original_msg_id') : undefined) ??
    parentId(message)
  );
}
