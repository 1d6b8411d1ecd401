import {
  type AnyMessage,
  AuthenticationError,
  type Dict,
  ProtocolError,
  type Session,
} from '@ipyparallel-js/protocol';
import { hubError } from '@ipyparallel-js/protocol/internal';
import { type Deadline, type MessageSocket, timeoutError, withinDeadline } from '@ipyparallel-js/wire';

/** The hub's reply to a registration. */
export interface Registration {
  readonly id: number;
  /** The period of the controller's heartbeats, in ms. */
  readonly hbPeriod: number;
}

export interface RegistrationOptions {
  readonly session: Session;
  /** The link to the hub's registration socket. */
  readonly link: MessageSocket;
  /** Resolves with the next message from the hub, or with undefined for a message that does not verify. */
  readonly nextMessage: () => Promise<AnyMessage | undefined>;
  /** The requested id. */
  readonly id: number | undefined;
  /** Makes the hub send any signed message, which shows whether its key is the expected one. */
  readonly probe: () => void;
  readonly deadline: Deadline;
}

/** How long to wait before probing the hub's key, in ms. A hub does not reply to messages signed with another key. */
const PROBE_AFTER = 1000;

/**
 * Requests an id from the hub. The hub lists the engine from its first heartbeat on.
 * @throws {TimeoutError} naming the address when the hub does not reply in time.
 * @throws {AuthenticationError} when the hub uses another key.
 * @throws {HubError} when the hub refuses.
 * @throws The signal's reason when it aborts.
 */
export async function register(options: RegistrationOptions): Promise<Registration> {
  const { session, link, id, deadline } = options;
  const request = session.message('registration_request', {
    uuid: session.session,
    ...(id === undefined ? {} : { id }),
  });
  const reply = options.nextMessage();
  link.send(session.encode(request));
  const probeTimer = setTimeout(options.probe, PROBE_AFTER);
  const message = await withinDeadline(deadline, reply, (waited) =>
    timeoutError(
      `no reply to the registration request from ${link.address}`,
      waited,
      'is a controller running there, and is the connection file from its current run?',
    ),
  ).finally(() => clearTimeout(probeTimer));
  if (message === undefined) {
    throw new AuthenticationError(
      `the reply from ${link.address} does not verify with the connection file's key: the file belongs to another controller`,
    );
  }
  return parseRegistration(message.content, link.address);
}

function parseRegistration(content: Dict, address: string): Registration {
  if (content.status !== 'ok') throw hubError(content);
  const { id, hb_period: hbPeriod } = content;
  if (typeof id !== 'number' || !Number.isInteger(id) || typeof hbPeriod !== 'number' || !(hbPeriod > 0)) {
    throw new ProtocolError(`the registration_reply from ${address} lacks an id or a heartbeat period`);
  }
  return { id, hbPeriod };
}
