import { type AnyMessage, type Dict, isMessageOf, parentId } from '@ipyparallel-js/protocol';
import { ownString } from '@ipyparallel-js/protocol/internal';
import type { EngineRegistry } from './engine-registry.js';
import { Task } from './task.js';
import { engineDied, readOutcome } from './task-results.js';

interface OwnTask {
  readonly task: Task;
  /** Bound to one engine, so lost with it; a load-balanced task is the scheduler's to fail. */
  readonly direct: boolean;
  /** Whether the hub is asked for its result, since its reply may have been lost. */
  handedOver: boolean;
  executeResult: Dict | null;
  reply: AnyMessage | undefined;
  idle: boolean;
  timer: NodeJS.Timeout | undefined;
}

/** Output travels on another socket than the reply; this long it is waited for after the reply of an `execute`. */
const OUTPUT_GRACE_MS = 1_000;
/** A reply that was on its way when its engine went counts still. */
const UNREGISTERED_GRACE_MS = 200;

/** The tasks that this client submitted: replies and output are matched to them by msg_id. */
export class OwnTasks {
  readonly #registry: EngineRegistry;
  readonly #tasks = new Map<string, OwnTask>();

  constructor(registry: EngineRegistry) {
    this.#registry = registry;
  }

  /** Follows a task from before it is sent. `engineUuid` makes it a direct one. */
  add(msgId: string, engineUuid?: string): Task {
    const task = new Task(msgId, {
      engineId: (uuid) => this.#registry.idOf(uuid),
      ...(engineUuid === undefined ? {} : { status: 'assigned', engineUuid }),
    });
    this.#tasks.set(msgId, {
      task,
      direct: engineUuid !== undefined,
      handedOver: false,
      executeResult: null,
      reply: undefined,
      idle: false,
      timer: undefined,
    });
    return task;
  }

  get(msgId: string): Task | undefined {
    return this.#tasks.get(msgId)?.task;
  }

  /** The msg_ids of all that is followed, in order of submission. Mirrors ipyparallel `Client.history`. */
  get history(): string[] {
    return [...this.#tasks.keys()];
  }

  /** The msg_ids that have no result yet. Mirrors ipyparallel `Client.outstanding`. */
  get outstanding(): string[] {
    return this.#unfinished().map(({ task }) => task.msgId);
  }

  /** The tasks that have no result yet. */
  unfinished(): Task[] {
    return this.#unfinished().map(({ task }) => task);
  }

  /** From now on the hub is asked for these (`HubTasks.adopt`); a reply that comes here still counts, if it is first. */
  handOver(tasks: Iterable<Task>): void {
    for (const { msgId } of tasks) {
      const own = this.#tasks.get(msgId);
      if (own !== undefined) own.handedOver = true;
    }
  }

  /** Forgets tasks that have ended. */
  forget(msgIds: Iterable<string>): void {
    for (const msgId of msgIds) {
      if (this.#tasks.get(msgId)?.task.outcome !== undefined) this.#tasks.delete(msgId);
    }
  }

  /** Takes a reply of a mux, task or broadcast socket; false when it answers nothing of ours. */
  onReply(message: AnyMessage): boolean {
    const own = this.#tasks.get(parentId(message) ?? '');
    if (own === undefined || own.task.outcome !== undefined || own.reply !== undefined) return false;
    const engineUuid = ownString(message.metadata, 'engine');
    if (engineUuid !== undefined) own.task.assign(engineUuid);
    own.reply = message;
    if (message.msg_type === 'execute_reply' && !own.idle) {
      own.timer = setTimeout(() => this.#finish(own), OUTPUT_GRACE_MS);
      own.timer.unref();
    } else this.#finish(own);
    return true;
  }

  /** Takes a message of the iopub socket; most concern the tasks of others. */
  onOutput(message: AnyMessage): void {
    const own = this.#tasks.get(parentId(message) ?? '');
    if (own === undefined) return;
    const engineUuid = ownString(message.metadata, 'engine');
    if (isMessageOf(message, 'status')) {
      if (engineUuid !== undefined) own.task.assign(engineUuid);
      if (message.content.execution_state === 'idle') {
        own.idle = true;
        if (own.reply !== undefined) this.#finish(own);
      }
    } else if (isMessageOf(message, 'stream')) {
      const type = message.content.name === 'stdout' ? 'stdout' : 'stderr';
      own.task.emit({ type, text: String(message.content.text) });
    } else if (isMessageOf(message, 'execute_result')) {
      own.executeResult = message.content as unknown as Dict;
    }
  }

  /** An engine is gone: what was bound to it fails, unless its reply is already here. */
  onEngineGone(engineUuid: string): void {
    const lost = this.#unfinished().filter(
      (own) => own.direct && !own.handedOver && own.task.engineUuid === engineUuid,
    );
    if (lost.length === 0) return;
    setTimeout(() => {
      for (const { task, reply } of lost) {
        if (reply !== undefined) continue;
        const error = engineDied(task.msgId, engineUuid, this.#registry.idOf(engineUuid));
        task.settle({ ok: false, error }, 'failed');
      }
    }, UNREGISTERED_GRACE_MS).unref();
  }

  /** Everything unfinished fails. */
  failAll(error: Error): void {
    for (const own of this.#unfinished()) {
      clearTimeout(own.timer);
      own.task.settle({ ok: false, error }, own.task.status);
    }
  }

  #unfinished(): OwnTask[] {
    return [...this.#tasks.values()].filter(({ task }) => task.outcome === undefined);
  }

  #finish(own: OwnTask): void {
    clearTimeout(own.timer);
    const { task, reply } = own;
    if (reply === undefined) return;
    const { outcome, status } = readOutcome({
      msgType: reply.msg_type,
      content: reply.content,
      buffers: reply.buffers,
      executeResult: own.executeResult,
      stdout: task.stdout,
      stderr: task.stderr,
      engineUuid: task.engineUuid,
      engineId: task.engineUuid === undefined ? undefined : this.#registry.idOf(task.engineUuid),
    });
    task.settle(outcome, status);
    own.reply = undefined;
  }
}
