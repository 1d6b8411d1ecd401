import type { HubInfo } from '@ipyparallel-js/protocol';
import type { Deadline } from '@ipyparallel-js/wire';
import type { Connection } from '../connection/connection.js';
import type { ConnectionSource } from '../connection/connection-source.js';
import type { ConnectionState } from '../connection/connection-state.js';
import { type ConnectionEvents, Reconnector } from '../connection/reconnector.js';
import { SleepWatch } from '../connection/sleep-watch.js';
import type { Transport } from '../connection/transport.js';
import type { ControlRequests } from '../engines/control-requests.js';
import type { EngineInfo } from '../engines/engine-registry.js';
import type { HubProfile } from '../hub/hub-profile.js';
import { type EngineChanges, enginesOf } from '../tasks/engine-changes.js';
import { Reconciliation, type ReconciliationParts } from '../tasks/reconciliation.js';
import type { UnsentWork } from '../tasks/unsent-work.js';

/** The hub's reply to a connection request. */
export interface ConnectionReply {
  readonly engines: readonly EngineInfo[];
  /** The hub's description of itself; undefined for a stock hub. */
  readonly hub: HubInfo | undefined;
}

/** The parts of a client that stay when the connection is replaced. */
export interface PersistentParts extends ReconciliationParts {
  readonly transport: Transport;
  readonly connectionState: ConnectionState;
  readonly source: ConnectionSource;
  readonly control: ControlRequests;
  readonly profile: HubProfile;
  readonly engineChanges: EngineChanges;
  readonly unsentWork: UnsentWork;
}

/** Updates all parts of a client when a connection opens, breaks and is replaced. */
export class ConnectionLifecycle implements ConnectionEvents<ConnectionReply> {
  readonly #parts: PersistentParts;
  readonly #reconnector: Reconnector<ConnectionReply>;
  readonly #reconciliation: Reconciliation;
  #sleepWatch: SleepWatch | undefined;

  /** `arrivalMs` is the time after which a message that was sent before a disconnect can no longer arrive. */
  constructor(parts: PersistentParts, arrivalMs: number) {
    this.#parts = parts;
    this.#reconnector = new Reconnector(parts.transport, parts.source, this);
    this.#reconciliation = new Reconciliation(parts, arrivalMs);
  }

  /** Opens the first connection: opens the sockets, waits for the hub's reply and, for a limited time, for all links. */
  async begin(deadline: Deadline): Promise<void> {
    const { connectionState, transport, requests, control, profile, engineChanges } = this.#parts;
    const reply = await this.#reconnector.openFirst(transport.connection, deadline);
    profile.update(reply.hub);
    engineChanges.replace(reply.engines);
    requests.onConnected();
    control.onConnected();
    connectionState.setConnected(transport.address('registration'));
    this.#reconnector.enableReconnection();
    this.#sleepWatch = new SleepWatch(() => void this.#onWake());
  }

  /** Requests the list of engines from the hub. */
  async refresh(deadline: Deadline): Promise<void> {
    const { engineChanges } = this.#parts;
    const reply = await this.#request(deadline, false);
    for (const uuid of engineChanges.replace(reply.engines)) engineChanges.forget(uuid);
  }

  onBroken(reason: string): void {
    this.#reconnector.onBroken(reason);
  }

  onTunnelLost(error: Error): void {
    // Before the first connection, the error must reach the caller of connect().
    if (this.#parts.connectionState.status.incarnation === 0) this.#reconnector.failFirstConnection(error);
    else this.#reconnector.onBroken(error.message);
  }

  onComplete(): void {
    this.#reconnector.onComplete();
  }

  onWorkSent(msgId: string): void {
    this.#reconciliation.onSent(msgId);
  }

  /** Handles the controller's shutdown: pending requests and unfinished tasks fail, but the client still reconnects. */
  onShutdown(): void {
    this.#reconnector.onStopping('the controller has shut down');
    this.#parts.connectionState.setShutDown();
  }

  requestConnection(deadline: Deadline): Promise<ConnectionReply> {
    return this.#request(deadline, true);
  }

  onDisconnected(reason: string): void {
    const { requests, control, submittedTasks, connectionState, unsentWork } = this.#parts;
    unsentWork.hold(reason);
    unsentWork.returningEngines.onDisconnected();
    const outstanding = submittedTasks
      .unfinished()
      .filter(({ sent, msgId }) => sent && !unsentWork.has(msgId));
    this.#reconciliation.interrupt(outstanding);
    requests.onDisconnected();
    control.onDisconnected();
    connectionState.setDisconnected(reason);
  }

  onAttemptFailed(reason: string): void {
    this.#parts.connectionState.setDisconnected(reason);
  }

  onReconnected({ engines, hub }: ConnectionReply, previousConnection: Connection): void {
    const { transport, requests, control, profile, followedTasks, engineChanges, unsentWork } = this.#parts;
    const newController = isNewController(profile.info, hub, previousConnection, transport.connection);
    profile.update(hub);
    followedTasks.onReconnected(newController);
    const missing = engineChanges.replace(engines);
    unsentWork.returningEngines.onReconnected(missing, {
      isSameController: newController === false,
      isStockHub: !profile.isOurs,
    });
    requests.onConnected();
    control.onConnected();
    unsentWork.release();
    this.#parts.connectionState.setConnected(transport.address('registration'), { newController, hub });
    this.#reconciliation.start(newController);
  }

  close(): void {
    this.#parts.unsentWork.returningEngines.close();
    this.#sleepWatch?.close();
    this.#reconnector.close();
    this.#reconciliation.close();
    this.#parts.connectionState.close();
  }

  /** Requests the engines after a sleep, because notifications may have been lost. Broken links fail at a heartbeat. */
  async #onWake(): Promise<void> {
    const { requests, connectionState } = this.#parts;
    try {
      if (connectionState.connected) await this.refresh(requests.deadline({}));
    } catch {
      // The next reconnection or waitForEngines() requests the list again.
    }
  }

  async #request(deadline: Deadline, handshake: boolean): Promise<ConnectionReply> {
    const { signal } = deadline;
    const { content } = await this.#parts.requests.request(
      'connection_request',
      {},
      { timeout: deadline.remaining(), handshake, ...(signal === undefined ? {} : { signal }) },
    );
    return { engines: enginesOf(content.engines), hub: content.hub };
  }
}

/**
 * Whether the controller has restarted; undefined if that is unknown. A hub of this project reports the epoch of its
 * run. Only its keys identify a run of a stock hub, which creates them at each start.
 */
function isNewController(
  previousHub: HubInfo | undefined,
  hub: HubInfo | undefined,
  previousConnection: Connection,
  connection: Connection,
): boolean | undefined {
  const keyOf = ({ info }: Connection): string => `${info.key} ${info.curve_serverkey}`;
  if (keyOf(previousConnection) !== keyOf(connection) || (previousHub === undefined) !== (hub === undefined))
    return true;
  if (previousHub?.epoch === undefined || hub?.epoch === undefined) return undefined;
  return previousHub.epoch !== hub.epoch;
}
