import { createHash } from 'node:crypto';
import type { WaitOptions } from '@ipyparallel-js/wire';
import type { Transport } from '../connection/transport.js';
import type { ControlRequests } from '../engines/control-requests.js';
import type { EngineInfo, EngineRegistry } from '../engines/engine-registry.js';
import type { OwnTasks } from './own-tasks.js';
import type { Task, TaskOwner } from './task.js';
import type { WaitingWork } from './unsent-work.js';

/** The parts of a client that its tasks reach. */
interface OwnerParts {
  readonly transport: Transport;
  readonly registry: EngineRegistry;
  readonly control: ControlRequests;
  readonly own: OwnTasks;
  readonly waiting: WaitingWork;
}

/** What tasks ask of their client. */
export class ClientTaskOwner implements TaskOwner {
  readonly #link: OwnerParts;
  #known: { readonly secret: string; readonly digest: string | null } | undefined;

  constructor(link: OwnerParts) {
    this.#link = link;
  }

  get cluster(): string | null {
    const { info, curve } = this.#link.transport.connection;
    const secret = info.key === '' ? (curve?.serverKey ?? '') : info.key;
    // Asked for each task of a result.
    if (this.#known?.secret !== secret)
      this.#known = { secret, digest: secret === '' ? null : clusterDigest(secret) };
    return this.#known.digest;
  }

  async abort(tasks: readonly Task[], options: WaitOptions): Promise<void> {
    this.#link.waiting.abort(tasks.map(({ msgId }) => msgId));
    await this.#abortSent(
      tasks.filter(({ outcome }) => outcome === undefined),
      options,
    );
  }

  async #abortSent(tasks: readonly Task[], options: WaitOptions): Promise<void> {
    if (tasks.length === 0) return;
    const { engines } = this.#link.registry;
    const uuids = new Set(tasks.map(({ engineUuid }) => engineUuid));
    // Where one has no engine yet, none is to take it up.
    const all = uuids.has(undefined);
    const concerned = [...engines]
      .map(([id, uuid]) => ({ id, uuid }))
      .filter(({ uuid }) => all || uuids.has(uuid));
    await this.abortAt(
      concerned,
      tasks.map(({ msgId }) => msgId),
      options,
    );
  }

  /** Aborts what waits at engines: tasks by id, or all for null. Waits until the engines have answered. */
  async abortAt(
    engines: readonly EngineInfo[],
    msgIds: readonly string[] | null,
    options: WaitOptions,
  ): Promise<void> {
    await Promise.all(
      engines.map((engine) =>
        this.#link.control.request(engine, 'abort_request', { msg_ids: msgIds }, options),
      ),
    );
  }

  read(task: Task): void {
    this.#link.own.ended.read(task);
  }
}

/** A digest that names a cluster by its secret, without giving it away: the secret is random, and long. */
function clusterDigest(secret: string): string {
  return createHash('sha256').update(`ipyparallel-js cluster ${secret}`).digest('hex').slice(0, 32);
}
