import { createHash } from 'node:crypto';
import type { WaitOptions } from '@ipyparallel-js/wire';
import type { Transport } from '../connection/transport.js';
import type { ControlRequests } from '../engines/control-requests.js';
import type { EngineRegistry } from '../engines/engine-registry.js';
import type { SubmittedTasks } from './submitted-tasks.js';
import type { Task, TaskOwner } from './task.js';
import type { UnsentWork } from './unsent-work.js';

interface OwnerParts {
  readonly transport: Transport;
  readonly registry: EngineRegistry;
  readonly control: ControlRequests;
  readonly submittedTasks: SubmittedTasks;
  readonly unsentWork: UnsentWork;
}

/** The part of a client that its tasks use. */
export class ClientTaskOwner implements TaskOwner {
  readonly #parts: OwnerParts;
  #cluster: { readonly secret: string; readonly digest: string | null } | undefined;

  constructor(parts: OwnerParts) {
    this.#parts = parts;
  }

  get cluster(): string | null {
    const { info, curve } = this.#parts.transport.connection;
    const secret = info.key === '' ? (curve?.serverKey ?? '') : info.key;
    // Cached, because it is read for each task of a result.
    if (this.#cluster?.secret !== secret)
      this.#cluster = { secret, digest: secret === '' ? null : clusterDigest(secret) };
    return this.#cluster.digest;
  }

  async abort(tasks: readonly Task[], options: WaitOptions): Promise<void> {
    this.#parts.unsentWork.abort(tasks.map(({ msgId }) => msgId));
    const unfinished = tasks.filter(({ outcome }) => outcome === undefined);
    if (unfinished.length === 0) return;
    const uuids = new Set(unfinished.map(({ engineUuid }) => engineUuid));
    // A task without an engine may be assigned to any engine now, so every engine must receive the request.
    const needsAllEngines = uuids.has(undefined);
    const msgIds = unfinished.map(({ msgId }) => msgId);
    const requests = [...this.#parts.registry.engines]
      .filter(([, uuid]) => needsAllEngines || uuids.has(uuid))
      .map(([id, uuid]) =>
        this.#parts.control.request({ id, uuid }, 'abort_request', { msg_ids: msgIds }, options),
      );
    await Promise.all(requests);
  }

  markRead(task: Task): void {
    this.#parts.submittedTasks.resultCache.markRead(task);
  }
}

/** A digest that identifies a cluster by its secret without revealing it: the secret is long and random. */
function clusterDigest(secret: string): string {
  return createHash('sha256').update(`ipyparallel-js cluster ${secret}`).digest('hex').slice(0, 32);
}
