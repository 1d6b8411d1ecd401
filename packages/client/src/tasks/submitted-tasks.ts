import {
  type AnyMessage,
  type Dict,
  isMessageOf,
  type PickleLimits,
  parentId,
} from '@ipyparallel-js/protocol';
import { getOwn, getOwnString } from '@ipyparallel-js/protocol/internal';
import { engineDied } from '../engines/engine-died.js';
import type { EngineRegistry } from '../engines/engine-registry.js';
import { dateIn, dateOf, idsIn, readOutput } from './read-output.js';
import { ResultCache, type ResultCacheLimits } from './result-cache.js';
import { SubmissionHistory } from './submission-history.js';
import { Task, type TaskOwner } from './task.js';
import { neverRan, readOutcome, replyStatus } from './task-outcome.js';

interface SubmittedTask {
  readonly task: Task;
  /** Whether the task is bound to one engine and fails with it; the scheduler fails load-balanced tasks. */
  readonly isDirect: boolean;
  /** Whether its record at the hub is polled, because its reply may have been lost. */
  isFollowed: boolean;
  /** Whether a broadcast scheduler combines the replies of several engines. */
  readonly isCoalescing: boolean;
  /** Its reply; undefined until it arrives. */
  receivedReply: AnyMessage | undefined;
  /** Its reply until the outcome has been decoded. */
  undecodedReply: AnyMessage | undefined;
  /** The engines that have reported `idle` for the task. */
  readonly idleEngines: Set<string>;
  timer: NodeJS.Timeout | undefined;
}

/** The parts of a request that describe its task. */
export interface TaskRequest {
  readonly header: Dict;
  readonly metadata: Dict;
  readonly content: Dict;
}

export interface SubmittedTasksContext {
  readonly registry: EngineRegistry;
  readonly owner?: TaskOwner;
  readonly limits?: ResultCacheLimits;
  readonly pickleLimits?: Partial<PickleLimits>;
  /** Called for output that could not be decoded. */
  readonly onDecodeError?: () => void;
}

/** How long an `execute` waits for its output after its reply, because output arrives on another socket. */
const OUTPUT_WAIT_MS = 10_000;
/** How long later output is accepted; after that it counts as lost. */
const LATE_OUTPUT_MS = 10_000;
/** How long to wait for a reply that an engine sent before it unregistered. */
const LAST_REPLY_MS = 200;

/** The tasks that this client submitted. Replies and output are matched to them by msg_id. */
export class SubmittedTasks {
  readonly #context: SubmittedTasksContext;
  readonly #registry: EngineRegistry;
  /** The tasks whose result or output is incomplete. */
  readonly #activeTasks = new Map<string, SubmittedTask>();
  readonly #history = new SubmissionHistory();
  /** The tasks that have ended. */
  readonly resultCache: ResultCache;

  constructor(context: SubmittedTasksContext) {
    this.#context = context;
    this.#registry = context.registry;
    this.resultCache = new ResultCache(context.limits);
  }

  /** Adds a task before it is sent. With `engineUuid` it is a direct task. */
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
    const entry: SubmittedTask = {
      task,
      isDirect: engineUuid !== undefined,
      isFollowed: false,
      isCoalescing: request !== undefined && getOwn(request.metadata, 'is_coalescing') === true,
      receivedReply: undefined,
      undecodedReply: undefined,
      idleEngines: new Set(),
      timer: undefined,
    };
    this.#activeTasks.set(msgId, entry);
    this.#history.add(msgId);
    // An ended task moves to the cache of unread results, unless it was forgotten before its output ended.
    void task.outputDone.then(() => {
      clearTimeout(entry.timer);
      if (this.#activeTasks.get(msgId) !== entry) return;
      this.#activeTasks.delete(msgId);
      this.resultCache.add(task);
    });
    return task;
  }

  /** Returns a submitted task that this process still holds; undefined for a task that only the hub knows. */
  get(msgId: string): Task | undefined {
    return this.#activeTasks.get(msgId)?.task ?? this.resultCache.get(msgId);
  }

  /** Yields all tasks that this client holds: those without a result and those with an unread result. */
  *heldTasks(): Generator<Task, void, undefined> {
    yield* this.resultCache.unread();
    for (const { task } of this.#activeTasks.values()) yield task;
  }

  /** The ids of the newest 10,000 submitted tasks, in order. Mirrors ipyparallel `Client.history`. */
  get history(): string[] {
    return this.#history.ids;
  }

  /** Whether a task is in the history. */
  hasSubmitted(msgId: string): boolean {
    return this.#history.has(msgId);
  }

  get historyLength(): number {
    return this.#history.length;
  }

  /** The ids of the tasks that have no result yet. Mirrors ipyparallel `Client.outstanding`. */
  get outstanding(): string[] {
    return this.#unfinishedTasks().map(({ task }) => task.msgId);
  }

  /** The tasks that have no result yet. */
  unfinished(): Task[] {
    return this.#unfinishedTasks().map(({ task }) => task);
  }

  /** Whether a task is bound to one engine. */
  isDirect(msgId: string): boolean {
    return this.#activeTasks.get(msgId)?.isDirect === true;
  }

  /** Marks tasks whose records are polled (`FollowedTasks.followOwn`). A reply still settles them if it arrives first. */
  followByHub(tasks: Iterable<Task>): void {
    for (const { msgId } of tasks) {
      const entry = this.#activeTasks.get(msgId);
      if (entry !== undefined) entry.isFollowed = true;
    }
  }

  /** The ids of the held tasks that these engines have or had. */
  idsOn(engineUuids: ReadonlySet<string>): string[] {
    const tasks = [...this.heldTasks()].filter(({ engineUuid }) => engineUuids.has(engineUuid ?? ''));
    return tasks.map(({ msgId }) => msgId);
  }

  /** Forgets tasks that have ended. */
  forget(msgIds: Iterable<string>): void {
    for (const msgId of msgIds) {
      const entry = this.#activeTasks.get(msgId);
      if (entry !== undefined && entry.task.outcome === undefined) continue;
      this.#activeTasks.delete(msgId);
      this.resultCache.delete(msgId);
      this.#history.delete(msgId);
    }
  }

  /** Handles a reply of a mux, task or broadcast socket. Returns false if it belongs to no submitted task. */
  onReply(message: AnyMessage): boolean {
    const entry = this.#activeTasks.get(requestIdOf(message) ?? '');
    if (entry === undefined || entry.task.outcome !== undefined || entry.undecodedReply !== undefined)
      return false;
    const { task } = entry;
    const engineUuid = getOwnString(message.metadata, 'engine');
    if (engineUuid !== undefined) task.assign(engineUuid);
    entry.undecodedReply = message;
    entry.receivedReply = message;
    task.describe({
      received: new Date(),
      completed: dateIn(message.header, 'date') ?? null,
      started: dateIn(message.metadata, 'started') ?? null,
      status: replyStatus(message.content),
      // Python engines also report `busy` when they remove a task from the queue to abort it.
      ...(neverRan(message.content) ? { begun: null } : {}),
    });
    if (message.msg_type === 'execute_reply' && expectsOutput(entry, message)) {
      this.#scheduleTimer(entry, OUTPUT_WAIT_MS, () => this.#finish(entry));
    } else this.#finish(entry);
    return true;
  }

  /** Handles a message of the iopub socket; most of them concern tasks of other clients. */
  onOutput(message: AnyMessage): void {
    const entry = this.#activeTasks.get(parentId(message) ?? '');
    if (entry === undefined) return;
    const { task } = entry;
    const engineUuid = getOwnString(message.metadata, 'engine');
    if (isMessageOf(message, 'status')) {
      if (engineUuid !== undefined) task.assign(engineUuid);
      this.#onState(entry, message.content.execution_state, message);
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
      this.#context.onDecodeError?.();
    }
  }

  /** Fails the direct tasks of an engine that unregistered, unless their reply has arrived. */
  onEngineGone(engineUuid: string): void {
    const affectedTasks = this.#unfinishedTasks().filter(
      (entry) => entry.isDirect && !entry.isFollowed && entry.task.engineUuid === engineUuid,
    );
    if (affectedTasks.length === 0) return;
    setTimeout(() => {
      for (const { task, undecodedReply, isFollowed } of affectedTasks) {
        if (undecodedReply !== undefined || isFollowed) continue;
        const error = engineDied(task.msgId, engineUuid, this.#registry.idOf(engineUuid));
        task.settle({ ok: false, error }, 'failed');
      }
    }, LAST_REPLY_MS).unref();
  }

  /** Fails all unfinished tasks and ends all output. */
  failAll(error: Error): void {
    for (const { task } of [...this.#activeTasks.values()]) {
      if (!task.settle({ ok: false, error }, task.status)) task.endOutput();
    }
  }

  #onState(entry: SubmittedTask, state: string, message: AnyMessage): void {
    const { task, idleEngines } = entry;
    if (state !== 'idle') {
      // A task that is retried on another engine begins again.
      if (!entry.isCoalescing) idleEngines.clear();
      if (state === 'busy') task.begin(dateOf(message));
      return;
    }
    idleEngines.add(getOwnString(message.metadata, 'engine') ?? '');
    const { undecodedReply, receivedReply } = entry;
    if (receivedReply === undefined || expectsOutput(entry, receivedReply)) return;
    if (undecodedReply !== undefined) this.#finish(entry);
    else task.endOutput();
  }

  #unfinishedTasks(): SubmittedTask[] {
    return [...this.#activeTasks.values()].filter(({ task }) => task.outcome === undefined);
  }

  #scheduleTimer(entry: SubmittedTask, ms: number, onTimeout: () => void): void {
    clearTimeout(entry.timer);
    entry.timer = setTimeout(onTimeout, ms);
    entry.timer.unref();
  }

  #finish(entry: SubmittedTask): void {
    const { task, undecodedReply } = entry;
    if (undecodedReply === undefined) return;
    entry.undecodedReply = undefined;
    const { outcome, status } = readOutcome({
      msgType: undecodedReply.msg_type,
      content: undecodedReply.content,
      buffers: undecodedReply.buffers,
      coalesced: isCoalesced(undecodedReply),
      executeResult: task.metadata.executeResult,
      stdout: task.stdout,
      stderr: task.stderr,
      engineUuid: task.engineUuid,
      engineId: task.metadata.engineId ?? undefined,
      pickleLimits: this.#context.pickleLimits,
    });
    task.setResultBytes(undecodedReply.buffers.reduce((sum, buffer) => sum + buffer.byteLength, 0));
    const moreOutput = expectsOutput(entry, undecodedReply);
    if (moreOutput) this.#scheduleTimer(entry, LATE_OUTPUT_MS, () => task.endOutput());
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

/** Whether an engine of the task has not reported `idle` yet. */
function expectsOutput({ idleEngines, task }: SubmittedTask, { content, metadata }: AnyMessage): boolean {
  // A task that was aborted in the queue, or whose engine died, has no output.
  if (neverRan(content) || (replyStatus(content) === 'aborted' && task.begun === null)) return false;
  if (getOwnString(content, 'ename') === 'EngineError') return false;
  const targets = getOwn(metadata, 'broadcast_targets');
  return idleEngines.size < (Array.isArray(targets) && targets.length > 0 ? targets.length : 1);
}

/** Whether a broadcast scheduler combined the replies of all engines into this one. */
function isCoalesced({ metadata }: AnyMessage): boolean {
  return getOwn(metadata, 'is_broadcast') === true && getOwn(metadata, 'is_coalescing') === true;
}

function requestIdOf(message: AnyMessage): string | undefined {
  return (
    (isCoalesced(message) ? getOwnString(message.metadata, 'original_msg_id') : undefined) ??
    parentId(message)
  );
}
