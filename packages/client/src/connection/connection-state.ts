import { ConnectionClosedError, type HubInfo, TimeoutError, TransportError } from '@ipyparallel-js/protocol';
import { formatMs } from '@ipyparallel-js/wire';
import { type Observable, ReplaySubject } from 'rxjs';

/** The state of the connection to the controller. */
export interface ConnectionStatus {
  readonly state: 'connected' | 'disconnected' | 'closed';
  readonly since: Date;
  /** The hub's address; it changes if the controller restarts at another address. */
  readonly address: string;
  /** The reason why the client is not connected. */
  readonly reason?: string;
  /** 1 for the first connection, and one more for each reconnection. */
  readonly incarnation: number;
}

/** The facts about the controller after a reconnection. */
export interface Reconnection {
  /** Whether the controller has restarted; undefined if unknown. */
  readonly newController: boolean | undefined;
  /** The hub's description of itself; undefined for a stock hub. */
  readonly hub: HubInfo | undefined;
}

type ReconnectedListener = (reconnection: Reconnection) => void | Promise<void>;

/** The state of the connection: notifies listeners of changes, and of a controller that stays unreachable for too long. */
export class ConnectionState {
  // Unlike a BehaviorSubject, a ReplaySubject replays its last value after its completion, too.
  readonly #changes = new ReplaySubject<ConnectionStatus>(1);
  readonly #reconnectedListeners = new Set<ReconnectedListener>();
  readonly #disconnectedListeners = new Set<() => void>();
  readonly #timeoutMs: number;
  readonly #onUnreachable: (error: ConnectionClosedError) => void;
  #status: ConnectionStatus;
  #timer: NodeJS.Timeout | undefined;
  #fatalError: ConnectionClosedError | undefined;

  /** Calls `onUnreachable` after `timeoutMs` without a connection. */
  constructor(address: string, timeoutMs: number, onUnreachable: (error: ConnectionClosedError) => void) {
    this.#timeoutMs = timeoutMs;
    this.#onUnreachable = onUnreachable;
    this.#status = {
      state: 'disconnected',
      since: new Date(),
      address,
      incarnation: 0,
      reason: 'not open yet',
    };
  }

  get status(): ConnectionStatus {
    return this.#status;
  }

  /** Emits the status at once and at each change; completes after `closed`. */
  get status$(): Observable<ConnectionStatus> {
    return this.#changes.asObservable();
  }

  get connected(): boolean {
    return this.#status.state === 'connected';
  }

  get closed(): boolean {
    return this.#status.state === 'closed';
  }

  /** Calls `listener` after each reconnection, when the engines are known. Returns a function that removes it. */
  onReconnected(listener: ReconnectedListener): () => void {
    this.#reconnectedListeners.add(listener);
    return () => void this.#reconnectedListeners.delete(listener);
  }

  /** Calls `listener` each time the connection breaks. Returns a function that removes it. */
  onDisconnected(listener: () => void): () => void {
    this.#disconnectedListeners.add(listener);
    return () => void this.#disconnectedListeners.delete(listener);
  }

  /**
   * Checks that a task can be submitted.
   * @throws {ConnectionClosedError} when the controller has been unreachable for too long, or announced its shutdown
   */
  assertReachable(): void {
    const cause = this.#fatalError;
    if (cause !== undefined)
      throw new ConnectionClosedError(`${cause.message}; the task was not sent`, { cause });
  }

  /** Sets the state to connected; `reconnection` is undefined for the first connection. */
  setConnected(address: string, reconnection?: Reconnection): void {
    if (this.closed) return;
    clearTimeout(this.#timer);
    this.#fatalError = undefined;
    this.#setStatus({
      state: 'connected',
      since: new Date(),
      address,
      incarnation: this.#status.incarnation + 1,
    });
    if (reconnection === undefined) return;
    for (const listener of [...this.#reconnectedListeners]) void notify(listener, reconnection);
  }

  /** Sets the state to disconnected, or updates the reason. */
  setDisconnected(reason: string): void {
    if (this.closed || this.#status.incarnation === 0) return;
    const previous = this.#status;
    if (previous.state === 'disconnected' && previous.reason === reason) return;
    const since = previous.state === 'disconnected' ? previous.since : new Date();
    const { address, incarnation } = previous;
    this.#setStatus({ state: 'disconnected', since, address, incarnation, reason });
    if (previous.state !== 'connected') return;
    this.#startTimer(address);
    for (const listener of [...this.#disconnectedListeners]) listener();
  }

  /** Sets the state to disconnected and calls `onUnreachable` at once, because the controller announced its shutdown. */
  setShutDown(): void {
    const { address } = this.#status;
    this.setDisconnected('the controller has shut down');
    this.#setUnreachable(new ConnectionClosedError(`the controller at ${address} has shut down`));
  }

  /** Sets the state to closed. */
  close(): void {
    if (this.closed) return;
    clearTimeout(this.#timer);
    const { address, incarnation } = this.#status;
    this.#setStatus({
      state: 'closed',
      since: new Date(),
      address,
      incarnation,
      reason: 'the client was closed',
    });
    this.#changes.complete();
    this.#reconnectedListeners.clear();
    this.#disconnectedListeners.clear();
  }

  #startTimer(address: string): void {
    if (this.#timeoutMs === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(
      () => {
        const { reason } = this.#status;
        this.#setUnreachable(
          new ConnectionClosedError(
            `the controller at ${address} has been unreachable for ${formatMs(this.#timeoutMs)}; it has stopped, or the network is down (${reason})`,
          ),
        );
      },
      Math.min(this.#timeoutMs, 2 ** 31 - 1),
    );
    this.#timer.unref();
  }

  #setUnreachable(error: ConnectionClosedError): void {
    clearTimeout(this.#timer);
    this.#fatalError = error;
    this.#onUnreachable(error);
  }

  #setStatus(status: ConnectionStatus): void {
    this.#status = status;
    this.#changes.next(status);
  }
}

async function notify(listener: ReconnectedListener, reconnection: Reconnection): Promise<void> {
  try {
    await listener(reconnection);
  } catch (error) {
    // The connection broke again: the listener will be notified of the next reconnection.
    if (error instanceof TransportError || error instanceof TimeoutError) return;
    process.emitWarning(`a listener failed after a reconnection: ${String(error)}`, {
      type: 'IpyparallelWarning',
      code: 'IPYPARALLEL_RECONNECTION',
    });
  }
}
