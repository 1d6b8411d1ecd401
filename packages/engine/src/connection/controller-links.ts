import { channelAddress, DELIMITER, type EngineConnectionInfo, type Session } from '@ipyparallel-js/protocol';
import {
  type CurveKeys,
  createSession,
  type Deadline,
  type DropReason,
  Intake,
  type LinkState,
  type Logger,
  MessageSocket,
  timeoutError,
  type ZmqSocket,
} from '@ipyparallel-js/wire';
import { LinkStates } from './link-states.js';
import { SocketFactory } from './sockets.js';

/** How many messages an engine has dropped, by reason. */
export type EngineStats = { readonly [R in DropReason]: number };

export interface ControllerLinksOptions {
  readonly info: EngineConnectionInfo;
  /** The interface of `info`, with a host that this machine can reach. */
  readonly reachableInterface: string;
  readonly uuid: string;
  readonly curve: CurveKeys | null;
  readonly log: Logger;
}

/** All sockets between one engine and its controller. */
export class ControllerLinks {
  readonly session: Session;
  readonly intake: Intake;
  readonly sockets: SocketFactory;
  readonly states: LinkStates;
  /** The controller's address, for messages. */
  readonly controller: string;
  readonly #reachableInterface: string;
  readonly #log: Logger;
  readonly #links: MessageSocket[] = [];
  readonly #dropCounts: { -readonly [R in DropReason]: number } = { malformed: 0, forged: 0, replayed: 0 };
  #tracksStates = false;

  constructor({ info, reachableInterface, uuid, curve, log }: ControllerLinksOptions) {
    this.session = createSession(info, { session: uuid });
    this.intake = new Intake(this.session, (reason, channel, error) => {
      if (this.#dropCounts[reason]++ > 0) return;
      log.warn(
        `dropped a ${reason} message on ${channel}: ${error.message}; further ones are counted without a log line`,
      );
    });
    this.sockets = new SocketFactory(uuid, curve, reachableInterface.startsWith('tcp://['));
    this.states = new LinkStates(info.interface, log);
    this.controller = info.interface;
    this.#reachableInterface = reachableInterface;
    this.#log = log;
  }

  get dropCounts(): EngineStats {
    return { ...this.#dropCounts };
  }

  address(port: number): string {
    return channelAddress(this.#reachableInterface, port);
  }

  /** Connects a socket to a port of the controller and reads from it. */
  open(name: string, socket: ZmqSocket, port: number, onFrames: (frames: Buffer[]) => void): MessageSocket {
    return this.#connect(name, socket, port, onFrames, (state) => {
      if (this.#tracksStates) this.states.set(name, state);
    });
  }

  /** Sends a bare delimiter from an anonymous socket: every hub replies with a hub_error signed with its own key. */
  probe(port: number, onFrames: (frames: Buffer[]) => void): void {
    this.#connect('probe', this.sockets.anonymous(), port, onFrames, () => {}).send([DELIMITER]);
  }

  /** Records the state of every link from now on. Before the registration, a link that is down is not yet connected. */
  trackStates(): void {
    this.#tracksStates = true;
  }

  /** Waits until these links are connected. @throws {TimeoutError} naming the address that does not connect. */
  async waitUntilConnected(links: readonly MessageSocket[], deadline: Deadline): Promise<void> {
    await Promise.all(
      links.map((link) =>
        link.waitUntilLinked(deadline, (waited) =>
          timeoutError(
            `no connection to the controller's ${link.name} socket at ${link.address}`,
            waited,
            'is the controller running, and does the connection file have its CURVE key?',
          ),
        ),
      ),
    );
  }

  /** Waits up to `timeout` ms for queued messages to be sent. */
  async flush(timeout: number): Promise<void> {
    await Promise.all(this.#links.map((link) => link.flush(timeout)));
  }

  async close(): Promise<void> {
    await Promise.all(this.#links.map((link) => link.close()));
  }

  #connect(
    name: string,
    socket: ZmqSocket,
    port: number,
    onFrames: (frames: Buffer[]) => void,
    onLink: (state: LinkState) => void,
  ): MessageSocket {
    const link = new MessageSocket(name, socket, {
      onFailure: (operation, error) => this.#log.error(`${operation} at ${link.address} failed`, error),
      onLink,
    });
    link.connect(this.address(port));
    link.read(onFrames);
    this.#links.push(link);
    return link;
  }
}
