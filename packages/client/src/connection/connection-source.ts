import { isDeepStrictEqual } from 'node:util';
import type { TransportError } from '@ipyparallel-js/protocol';
import { type Deadline, startDeadline } from '@ipyparallel-js/wire';
import { type Connection, type ConnectionOptions, openConnection, readInfo } from './connection.js';

/** How long it may take to read a connection file that is there. */
const LOOK_MS = 1_000;

/** Where the way to a controller is told: asked at first, and again after the connection broke. */
export class ConnectionSource {
  readonly #options: ConnectionOptions;
  #tunnelLost = false;
  #onTunnelLost: (error: TransportError) => void = () => undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** Calls back whenever an ssh tunnel that was opened here ends by itself. */
  onTunnelLost(listener: (error: TransportError) => void): void {
    this.#onTunnelLost = listener;
  }

  /** Opens the way to the controller. @throws as {@link openConnection} */
  async open(deadline: Deadline): Promise<Connection> {
    const connection = await openConnection(this.#options, deadline);
    this.#tunnelLost = false;
    connection.onTunnelLost((error) => {
      this.#tunnelLost = true;
      this.#onTunnelLost(error);
    });
    return connection;
  }

  /** The way that there is, or a new one where the file now tells another or the tunnel ended. */
  async again(connection: Connection, deadline: Deadline): Promise<Connection> {
    return this.#tunnelLost || (await this.changed(connection)) ? this.open(deadline) : connection;
  }

  /** Whether the file now tells another way. A file that is gone or unreadable tells nothing. */
  async changed({ info }: Connection): Promise<boolean> {
    try {
      const now = await readInfo(this.#options, startDeadline({ timeout: 0 }, LOOK_MS));
      return !isDeepStrictEqual(now.info, info);
    } catch {
      return false;
    }
  }
}
