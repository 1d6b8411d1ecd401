import { isDeepStrictEqual } from 'node:util';
import type { TransportError } from '@ipyparallel-js/protocol';
import { type Deadline, startDeadline } from '@ipyparallel-js/wire';
import { type Connection, type ConnectionOptions, openConnection, readInfo } from './connection.js';

/** The timeout of reading an existing connection file. */
const READ_MS = 1_000;

/** Resolves how to reach the controller: on connect, and after every disconnect. */
export class ConnectionSource {
  readonly #options: ConnectionOptions;
  #tunnelLost = false;
  #onTunnelLost: (error: TransportError) => void = () => undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** Sets the listener for ssh tunnels that end by themselves. */
  onTunnelLost(listener: (error: TransportError) => void): void {
    this.#onTunnelLost = listener;
  }

  /** Opens a connection to the controller. @throws as {@link openConnection} */
  async open(deadline: Deadline): Promise<Connection> {
    const connection = await openConnection(this.#options, deadline);
    this.#tunnelLost = false;
    connection.onTunnelLost((error) => {
      this.#tunnelLost = true;
      this.#onTunnelLost(error);
    });
    return connection;
  }

  /** Returns the connection, or a new one if the file has changed or the tunnel has ended. */
  async reopen(connection: Connection, deadline: Deadline): Promise<Connection> {
    return this.#tunnelLost || (await this.hasFileChanged(connection)) ? this.open(deadline) : connection;
  }

  /** Whether the connection file has changed. A missing or unreadable file counts as unchanged. */
  async hasFileChanged({ info }: Connection): Promise<boolean> {
    try {
      const current = await readInfo(this.#options, startDeadline({ timeout: 0 }, READ_MS));
      return !isDeepStrictEqual(current.info, info);
    } catch {
      return false;
    }
  }
}
