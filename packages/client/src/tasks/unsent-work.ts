import {
  ConnectionClosedError,
  EngineError,
  type NewMessage,
  TaskAbortedError,
  UsageError,
} from '@ipyparallel-js/protocol';
import { formatMs } from '@ipyparallel-js/wire';
import type { ConnectionState } from '../connection/connection-state.js';
import { Outbox, type Submission, taskIds, type WorkChannel } from '../connection/outbox.js';
import type { Transport } from '../connection/transport.js';
import type { ControlRequests } from '../engines/control-requests.js';
import type { EngineInfo, EngineRegistry } from '../engines/engine-registry.js';
import { type ReturnEvents, ReturningEngines, type ReturnTimes } from '../engines/returning-engines.js';
import type { EngineChanges } from './engine-changes.js';
import type { SubmittedTasks } from './submitted-tasks.js';

export interface UnsentWorkParts {
  readonly transport: Transport;
  readonly registry: EngineRegistry;
  readonly control: ControlRequests;
  readonly submittedTasks: SubmittedTasks;
  readonly engineChanges: EngineChanges;
  readonly connectionState: ConnectionState;
}

/**
 * Decides whether a submission is sent at once. While the controller is out of reach, or the engines that a submission
 * needs have not registered again, it is held in a bounded list; later it is sent, or its tasks fail.
 */
export class UnsentWork implements ReturnEvents {
  /** The engines that were registered before the connection broke, until they register again. */
  readonly returningEngines: ReturningEngines;
  readonly #parts: UnsentWorkParts;
  readonly #returnTimes: ReturnTimes;
  readonly #outbox = new Outbox();
  /** The reason why there is no connection; undefined while there is one. */
  #disconnectReason: string | undefined;

  constructor(parts: UnsentWorkParts, times: ReturnTimes) {
    this.#parts = parts;
    this.#returnTimes = times;
    this.returningEngines = new ReturningEngines(parts.registry, parts.control, times, this);
  }

  /** The submissions that are held. */
  get size(): { readonly count: number; readonly bytes: number } {
    return this.#outbox.size;
  }

  /** Whether submissions are held because there is no connection. */
  get disconnected(): boolean {
    return this.#disconnectReason !== undefined;
  }

  /** Whether the message of a task is held. */
  has(msgId: string): boolean {
    return this.#outbox.has(msgId);
  }

  /**
   * Sends a submission, or holds it.
   * @throws {ConnectionClosedError} when the client is closed, or too many submissions are held already
   * @throws {TransportError} when the controller has no such channel
   */
  submit(channel: WorkChannel, message: NewMessage, idents: readonly string[] = []): void {
    const { transport } = this.#parts;
    transport.assertSendable(channel);
    const work = { channel, message, idents };
    if (this.#disconnectReason !== undefined || this.returningEngines.mustWait(work))
      this.#outbox.add(work, this.#disconnectReason);
    else transport.send(channel, message, idents);
  }

  /** Holds every submission from now on, because the connection broke. */
  hold(reason: string): void {
    this.#disconnectReason = reason;
  }

  /** Sends the held submissions in their order, except those that wait for engines: they wait for the next call. */
  release(): void {
    this.#disconnectReason = undefined;
    const sendable = this.#outbox.remove((work) => !this.returningEngines.mustWait(work));
    for (const { channel, message, idents } of sendable) this.submit(channel, message, idents);
  }

  onEnginesReturned(): void {
    if (this.#parts.connectionState.connected) this.release();
  }

  onEnginesMissing(missingEngines: readonly EngineInfo[], waitsFor: (work: Submission) => boolean): void {
    const ids = missingEngines.map(({ id }) => id).join(', ');
    for (const work of this.#outbox.remove(waitsFor)) {
      const evalue = `engine ${ids} did not register again within ${formatMs(this.#returnTimes.registration)} of the reconnection; the task was not sent`;
      this.#fail(work, () => new EngineError({ ename: 'EngineError', evalue, traceback: [] }));
    }
    for (const { uuid } of missingEngines) this.#parts.engineChanges.forget(uuid);
  }

  onNoEngines(waitsFor: (work: Submission) => boolean): void {
    const address = this.#parts.transport.address('registration');
    for (const work of this.#outbox.remove(waitsFor)) {
      const message = `no engine registered again at ${address} within ${formatMs(this.#returnTimes.anyEngine)} of the reconnection; the task was not sent`;
      this.#fail(work, () => new UsageError(message, { code: 'NO_ENGINES' }));
    }
  }

  /** Drops the held submissions and fails their tasks, none of which has run. */
  failAll(error: Error): void {
    for (const work of this.#outbox.remove(() => true))
      this.#fail(work, () => new ConnectionClosedError(`${error.message}; the task was not sent`));
  }

  /** Aborts the tasks among these that are held. Returns the ids of the others. */
  abort(msgIds: readonly string[]): string[] {
    const withdrawn = new Set(this.#withdraw(msgIds));
    for (const id of withdrawn) {
      const error = new TaskAbortedError({
        ename: 'TaskAborted',
        evalue: 'aborted before it was sent to the controller',
        traceback: [],
      });
      this.#parts.submittedTasks.get(id)?.settle({ ok: false, error }, 'aborted');
    }
    return msgIds.filter((id) => !withdrawn.has(id));
  }

  /** A broadcast is one message for several tasks: it is withdrawn only if all of them are. */
  #withdraw(msgIds: readonly string[]): string[] {
    if (this.#outbox.size.count === 0) return [];
    const ids = new Set(msgIds);
    return this.#outbox.remove((work) => taskIds(work).every((id) => ids.has(id))).flatMap(taskIds);
  }

  #fail(work: Submission, error: () => Error): void {
    const { submittedTasks } = this.#parts;
    for (const id of taskIds(work)) submittedTasks.get(id)?.settle({ ok: false, error: error() }, 'failed');
  }
}
