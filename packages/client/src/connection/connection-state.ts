import { ConnectionClosedError, type HubInfo, TimeoutError, TransportError } from '@ipyparallel-js/protocol';
import { formatMs } from '@ipyparallel-js/wire';
import { type Observable, ReplaySubject } from 'rxjs';

/** Whether the controller can be talked to. */
export interface ConnectionStatus {
  readonly state: 'connected' | 'disconnected' | 'closed';
  readonly since: Date;
  /** The hub's address; it changes where a controller came back elsewhere. */
  readonly address: string;
  /** Why, where it is not connected. */
  readonly reason?: string;
  /** 1 for the first connection, one more with each that follows. */
  readonly incarnation: number;
}

/** What is known of the controller after a reconnection. */
export interface Reconnection {
  /** True for another life of the controller, false for the same one; undefined where it cannot be told. */
  readonly newController: boolean | undefined;
  /** What the hub says of itself; undefined for a stock one. */
  readonly hub: HubInfo | undefined;
}

type ReconnectedListener = (reconnection: Reconnection) => void | Promise<void>;

/** The state of the connection: who is told when it breaks and when it is back, and when what waits is given up. */
export class ConnectionState {
  // Replays its last value also when it is over, which a BehaviorSubject does not.
  readonly #changes = new ReplaySubject<ConnectionStatus>(1);
  readonly #reconnected = new Set<ReconnectedListener>();
  readonly #disconnected = new Set<() => void>();
  readonly #patience: number;
  readonly #onGivenUp: (error: ConnectionClosedError) => void;
  #now: ConnectionStatus;
  #timer: NodeJS.Timeout | undefined;
  #gone: ConnectionClosedError | undefined;

  /** After `patience` ms without a connection `onGivenUp` fails what waits for it. */
  constructor(address: string, patience: number, onGivenUp: (error: ConnectionClosedError) => void) {
    this.#patience = patience;
    this.#onGivenUp = onGivenUp;
    this.#now = { state: 'disconnected', since: new Date(), address, incarnation: 0, reason: 'not open yet' };
  }

  get now(): ConnectionStatus {
    return this.#now;
  }

  /** The state at once and at each change; completes after `closed`. */
  get status$(): Observable<ConnectionStatus> {
    return this.#changes.asObservable();
  }

  get connected(): boolean {
    return this.#now.state === 'connected';
  }

  get closed(): boolean {
    return this.#now.state === 'closed';
  }

  /** Calls back after each reconnection, once the engines are known again. Gives what takes the listener away. */
  onReconnected(listener: ReconnectedListener): () => void {
    this.#reconnected.add(listener);
    return () => void this.#reconnected.delete(listener);
  }

  /** Calls back each time the connection breaks. Gives what takes the listener away. */
  onDisconnected(listener: () => void): () => void {
    this.#disconnected.add(listener);
    return () => void this.#disconnected.delete(listener);
  }

  /**
   * Asked before a task is sent.
   * @throws ConnectionClosedError while the controller has been out of reach for too long, or has said that it stops
   */
  assertReachable(): void {
    const cause = this.#gone;
    if (cause !== undefined)
      throw new ConnectionClosedError(`${cause.message}; the task was not sent`, { cause });
  }

  /** It is there; with what is known of it when it was there before. */
  setConnected(address: string, reconnection?: Reconnection): void {
    if (this.closed) return;
    clearTimeout(this.#timer);
    this.#gone = undefined;
    this.#become({
      state: 'connected',
      since: new Date(),
      address,
      incarnation: this.#now.incarnation + 1,
    });
    if (reconnection === undefined) return;
    for (const listener of [...this.#reconnected]) void tell(listener, reconnection);
  }

  /** It broke, or stays broken for another reason. */
  setDisconnected(reason: string): void {
    if (this.closed || this.#now.incarnation === 0) return;
    const was = this.#now;
    if (was.state === 'disconnected' && was.reason === reason) return;
    const since = was.state === 'disconnected' ? was.since : new Date();
    const { address, incarnation } = was;
    this.#become({ state: 'disconnected', since, address, incarnation, reason });
    if (was.state !== 'connected') return;
    this.#beginWait(address);
    for (const listener of [...this.#disconnected]) listener();
  }

  /** The controller has said that it stops: nothing is to be waited for. */
  setShutDown(): void {
    const { address } = this.#now;
    this.setDisconnected('the controller has shut down');
    this.#giveUp(new ConnectionClosedError(`the controller at ${address} has shut down`));
  }

  /** It is over. */
  close(): void {
    if (this.closed) return;
    clearTimeout(this.#timer);
    const { address, incarnation } = this.#now;
    this.#become({
      state: 'closed',
      since: new Date(),
      address,
      incarnation,
      reason: 'the client was closed',
    });
    this.#changes.complete();
    this.#reconnected.clear();
    this.#disconnected.clear();
  }

  #beginWait(address: string): void {
    if (this.#patience === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(
      () => {
        const { reason } = this.#now;
        this.#giveUp(
          new ConnectionClosedError(
            `the controller at ${address} has been out of reach for ${formatMs(this.#patience)}; it has stopped, or the network is cut (${reason})`,
          ),
        );
      },
      Math.min(this.#patience, 2 ** 31 - 1),
    );
    this.#timer.unref();
  }

  #giveUp(error: ConnectionClosedError): void {
    clearTimeout(this.#timer);
    this.#gone = error;
    this.#onGivenUp(error);
  }

  #become(status: ConnectionStatus): void {
    this.#now = status;
    this.#changes.next(status);
  }
}

async function tell(listener: ReconnectedListener, reconnection: Reconnection): Promise<void> {
  try {
    await listener(reconnection);
  } catch (error) {
    // The connection broke again meanwhile: the listener is told of the next one.
    if (error instanceof TransportError || error instanceof TimeoutError) return;
    process.emitWarning(`going on after a reconnection failed: ${String(error)}`, {
      type: 'IpyparallelWarning',
      code: 'IPYPARALLEL_RECONNECTION',
    });
  }
}
