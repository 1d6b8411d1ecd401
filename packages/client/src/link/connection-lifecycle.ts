import type { HubInfo } from '@ipyparallel-js/protocol';
import type { Deadline } from '@ipyparallel-js/wire';
import type { Connection } from '../connection/connection.js';
import type { ConnectionSource } from '../connection/connection-source.js';
import type { ConnectionState } from '../connection/connection-state.js';
import { type LifeEvents, Reconnector } from '../connection/reconnector.js';
import { SleepWatch } from '../connection/sleep-watch.js';
import type { Transport } from '../connection/transport.js';
import type { ControlRequests } from '../engines/control-requests.js';
import type { EngineInfo } from '../engines/engine-registry.js';
import type { ReturningEngines } from '../engines/returning-engines.js';
import type { HubProfile } from '../hub/hub-profile.js';
import { type EngineChanges, enginesOf } from '../tasks/engine-changes.js';
import { type Reconciled, Reconciliation } from '../tasks/reconciliation.js';

/** What the hub answers when it is asked whether it is there. */
export interface Greeting {
  readonly engines: readonly EngineInfo[];
  /** What it says of itself; undefined for a stock one. */
  readonly hub: HubInfo | undefined;
}

/** What goes on from one life of the connection to the next. */
export interface Survivors extends Reconciled {
  readonly transport: Transport;
  readonly state: ConnectionState;
  readonly source: ConnectionSource;
  readonly control: ControlRequests;
  readonly profile: HubProfile;
  readonly engines: EngineChanges;
  readonly returning: ReturningEngines;
}

/** The lives of a connection: what begins and what ends with each, and what is carried over. */
export class Lives implements LifeEvents<Greeting> {
  readonly #parts: Survivors;
  readonly #reconnector: Reconnector<Greeting>;
  readonly #reconciliation: Reconciliation;
  #sleep: SleepWatch | undefined;

  /** `grace` in ms: for what was on its way to arrive. */
  constructor(parts: Survivors, grace: number) {
    this.#parts = parts;
    this.#reconnector = new Reconnector(parts.transport, parts.source, this);
    this.#reconciliation = new Reconciliation(parts, grace);
  }

  /** Begins the first life: opens the sockets, waits for the hub's answer and, for a while, for all links. */
  async begin(deadline: Deadline): Promise<void> {
    const { state, transport, requests, control, profile, others, engines } = this.#parts;
    const greeting = await this.#reconnector.first(transport.connection, deadline);
    profile.update(greeting.hub);
    others.setHub(greeting.hub);
    engines.replace(greeting.engines);
    requests.onConnected();
    control.onConnected();
    state.setConnected(transport.address('registration'));
    this.#reconnector.started();
    this.#sleep = new SleepWatch(() => void this.#onWoken());
  }

  /** Asks the hub for its engines. */
  async refresh(deadline: Deadline): Promise<void> {
    const { engines } = this.#parts;
    const greeting = await this.#ask(deadline, false);
    for (const uuid of engines.replace(greeting.engines)) engines.bury(uuid);
  }

  onBroken(reason: string): void {
    this.#reconnector.onBroken(reason);
  }

  /** The ssh tunnel ended. */
  onTunnelLost(error: Error): void {
    // Before the first answer there is nothing to go on with.
    if (this.#parts.state.now.incarnation === 0) this.#reconnector.giveUp(error);
    else this.#reconnector.onBroken(error.message);
  }

  onComplete(): void {
    this.#reconnector.onComplete();
  }

  onWorkSent(msgId: string): void {
    this.#reconciliation.onSent(msgId);
  }

  /** The controller has said that it stops: nothing is waited for, but one that comes back is talked to. */
  onShutdown(): void {
    this.#reconnector.onStopping('the controller has shut down');
    this.#parts.state.setShutDown();
  }

  greet(deadline: Deadline): Promise<Greeting> {
    return this.#ask(deadline, true);
  }

  onDown(reason: string): void {
    const { transport, requests, control, own, state, returning } = this.#parts;
    transport.hold(reason);
    returning.onDown();
    const outstanding = own.unfinished().filter(({ sent, msgId }) => sent && !transport.holds(msgId));
    this.#reconciliation.interrupt(outstanding);
    requests.onDisconnected();
    control.onDisconnected();
    state.setDisconnected(reason);
  }

  onTrouble(reason: string): void {
    this.#parts.state.setDisconnected(reason);
  }

  onUp({ engines, hub }: Greeting, before: Connection): void {
    const { transport, requests, control, profile, others, returning, state } = this.#parts;
    const newController = isNewController(profile.info, hub, before, transport.connection);
    profile.update(hub);
    others.setHub(hub);
    others.onReconnected(newController);
    const gone = this.#parts.engines.replace(engines);
    returning.onUp(gone, { same: newController === false, stock: hub === undefined });
    requests.onConnected();
    control.onConnected();
    transport.release();
    state.setConnected(transport.address('registration'), { newController, hub });
    this.#reconciliation.start(newController);
  }

  /** Ends it. */
  close(): void {
    this.#parts.returning.close();
    this.#sleep?.close();
    this.#reconnector.close();
    this.#reconciliation.close();
    this.#parts.state.close();
  }

  /** Links that did not survive the sleep break at the next heartbeat; of notices some may have been dropped. */
  async #onWoken(): Promise<void> {
    const { requests, state } = this.#parts;
    try {
      if (state.connected) await this.refresh(requests.deadline({}));
    } catch {
      // The next reconnection asks, or the next waitForEngines.
    }
  }

  async #ask(deadline: Deadline, handshake: boolean): Promise<Greeting> {
    const { signal } = deadline;
    const { content } = await this.#parts.requests.request(
      'connection_request',
      {},
      { timeout: deadline.remaining(), handshake, ...(signal === undefined ? {} : { signal }) },
    );
    return { engines: enginesOf(content.engines), hub: content.hub };
  }
}

/** Our hub says which life of it this is. Of a stock one only another key tells: it makes one for each life. */
function isNewController(
  was: HubInfo | undefined,
  is: HubInfo | undefined,
  before: Connection,
  now: Connection,
): boolean | undefined {
  const keyOf = ({ info }: Connection): string => `${info.key} ${info.curve_serverkey}`;
  if (keyOf(before) !== keyOf(now) || (was === undefined) !== (is === undefined)) return true;
  if (was?.epoch === undefined || is?.epoch === undefined) return undefined;
  return was.epoch !== is.epoch;
}
