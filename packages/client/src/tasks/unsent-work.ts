import { ConnectionClosedError, EngineError, TaskAbortedError, UsageError } from '@ipyparallel-js/protocol';
import { formatMs } from '@ipyparallel-js/wire';
import type { ConnectionState } from '../connection/connection-state.js';
import { type HeldWork, taskIds } from '../connection/outbox.js';
import type { Transport } from '../connection/transport.js';
import type { EngineInfo } from '../engines/engine-registry.js';
import type { ReturnEvents, ReturnTimes } from '../engines/returning-engines.js';
import type { EngineChanges } from './engine-changes.js';
import type { OwnTasks } from './own-tasks.js';

interface WaitingWorkParts {
  readonly transport: Transport;
  readonly own: OwnTasks;
  readonly engines: EngineChanges;
  readonly state: ConnectionState;
}

/** Work that was never sent, since the controller or its engines are not there: it leaves, or its tasks fail. */
export class WaitingWork implements ReturnEvents {
  readonly #parts: WaitingWorkParts;
  readonly #times: ReturnTimes;

  constructor(parts: WaitingWorkParts, times: ReturnTimes) {
    this.#parts = parts;
    this.#times = times;
  }

  onBack(): void {
    const { state, transport } = this.#parts;
    if (state.connected) transport.release();
  }

  onMissed(missed: readonly EngineInfo[], held: (work: HeldWork) => boolean): void {
    const { transport, engines } = this.#parts;
    const ids = missed.map(({ id }) => id).join(', ');
    for (const work of transport.dropHeld(held)) {
      const evalue = `engine ${ids} did not come back to the controller within ${formatMs(this.#times.registration)}; the task was not sent`;
      this.#fail(work, () => new EngineError({ ename: 'EngineError', evalue, traceback: [] }));
    }
    for (const { uuid } of missed) engines.bury(uuid);
  }

  onNone(held: (work: HeldWork) => boolean): void {
    const { transport } = this.#parts;
    for (const work of transport.dropHeld(held)) {
      const message = `no engine has come back to the controller at ${transport.address('registration')} in ${formatMs(this.#times.any)}; the task was not sent`;
      this.#fail(work, () => new UsageError(message, { code: 'NO_ENGINES' }));
    }
  }

  /** Nothing is waited for any more: what is held is dropped, and its tasks fail, known not to have run. */
  giveUp(error: Error): void {
    for (const work of this.#parts.transport.dropHeld())
      this.#fail(work, () => new ConnectionClosedError(`${error.message}; the task was not sent`));
  }

  /** Aborts tasks that were not sent yet; gives the others. */
  abort(msgIds: readonly string[]): string[] {
    const { transport, own } = this.#parts;
    const withdrawn = new Set(transport.withdraw(msgIds));
    for (const id of withdrawn) {
      const error = new TaskAbortedError({
        ename: 'TaskAborted',
        evalue: 'aborted before it was sent to the controller',
        traceback: [],
      });
      own.get(id)?.settle({ ok: false, error }, 'aborted');
    }
    return msgIds.filter((id) => !withdrawn.has(id));
  }

  #fail(work: HeldWork, error: () => Error): void {
    for (const id of taskIds(work)) this.#parts.own.get(id)?.settle({ ok: false, error: error() }, 'failed');
  }
}
