import {
  type AnyMessage,
  AuthenticationError,
  type Dict,
  ProtocolError,
  type Session,
} from '@ipyparallel-js/protocol';
import { hubError } from '@ipyparallel-js/protocol/internal';
import { type Deadline, type MessageSocket, timeoutError, withinDeadline } from '@ipyparallel-js/wire';

/** What the hub gave an engine. */
export interface Registration {
  readonly id: number;
  /** The controller's heartbeat, in ms. */
  readonly hbPeriod: number;
}

/** What {@link register} needs. */
export interface RegistrationOptions {
  readonly session: Session;
  /** The link to the hub's registration socket. */
  readonly link: MessageSocket;
  /** Resolves with the next message from the hub, or with undefined when one came that does not verify. */
  readonly nextMessage: () => Promise<AnyMessage | undefined>;
  /** The id to ask for. */
  readonly id: number | undefined;
  /** Asks the hub, on a socket of its own, for an answer that shows its key. */
  readonly probe: () => void;
  readonly deadline: Deadline;
}

/** How long the hub may be silent before its key is doubted, in ms: it never answers what is signed with another. */
const PROBE_AFTER = 1000;

/**
 * Asks the hub for an id. The hub counts the engine as registered from its first heartbeat on.
 * @throws TimeoutError naming the address, AuthenticationError, HubError when it refuses, the signal's reason
 */
export async function register(options: RegistrationOptions): Promise<Registration> {
  const { session, link, id, deadline } = options;
  const request = session.message('registration_request', {
    uuid: session.session,
    ...(id === undefined ? {} : { id }),
  });
  const reply = options.nextMessage();
  link.send(session.encode(request));
  const silence = setTimeout(options.probe, PROBE_AFTER);
  const message = await withinDeadline(deadline, reply, (waited) =>
    timeoutError(
      `no answer to the registration request from ${link.address}`,
      waited,
      'is a controller running there, and is the connection file of this run of it?',
    ),
  ).finally(() => clearTimeout(silence));
  if (message === undefined) {
    throw new AuthenticationError(
      `the answer from ${link.address} does not verify with the connection file's key: the file is another controller's`,
    );
  }
  return registrationOf(message.content, link.address);
}

function registrationOf(content: Dict, address: string): Registration {
  if (content.status !== 'ok') throw hubError(content);
  const { id, hb_period: hbPeriod } = content;
  if (typeof id !== 'number' || !Number.isInteger(id) || typeof hbPeriod !== 'number' || !(hbPeriod > 0)) {
    throw new ProtocolError(`the registration_reply from ${address} lacks an id or a heartbeat period`);
  }
  return { id, hbPeriod };
}
