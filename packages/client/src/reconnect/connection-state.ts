import type { HubInfo } from '@ipyparallel-js/protocol';
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

/** The state of the connection, and who is told when it breaks and when it is back. */
export class ConnectionState {
  // Replays its last value also when it is over, which a BehaviorSubject does not.
  readonly #changes = new ReplaySubject<ConnectionStatus>(1);
  readonly #reconnected = new Set<ReconnectedListener>();
  readonly #disconnected = new Set<() => void>();
  #now: ConnectionStatus;

  constructor(address: string) {
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

  /** It is there; with what is known of it when it was there before. */
  setConnected(address: string, reconnection?: Reconnection): void {
    if (this.closed) return;
    this.#become({
      state: 'connected',
      since: new Date(),
      address,
      incarnation: this.#now.incarnation + 1,
    });
    if (reconnection === undefined) return;
    for (const listener of [...this.#reconnected]) void listener(reconnection);
  }

  /** It broke, or stays broken for another reason. */
  setDisconnected(reason: string): void {
    if (this.closed) return;
    const was = this.#now;
    if (was.state === 'disconnected' && was.reason === reason) return;
    const since = was.state === 'disconnected' ? was.since : new Date();
    this.#become({
      state: 'disconnected',
      since,
      address: was.address,
      incarnation: was.incarnation,
      reason,
    });
    if (was.state !== 'connected') return;
    for (const listener of [...this.#disconnected]) listener();
  }

  /** It is over. */
  close(): void {
    if (this.closed) return;
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

  #become(status: ConnectionStatus): void {
    this.#now = status;
    this.#changes.next(status);
  }
}
