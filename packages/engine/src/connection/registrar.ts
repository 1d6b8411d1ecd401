import type { AnyMessage, Dict, MsgType } from '@ipyparallel-js/protocol';
import type { Deadline, MessageSocket } from '@ipyparallel-js/wire';
import type { ControllerLinks } from './controller-links.js';
import { type Registration, register } from './registration.js';

/**
 * The engine's link to the hub's registration socket: registers and unregisters the engine, and sends requests to the
 * hub.
 */
export class Registrar {
  readonly #links: ControllerLinks;
  readonly #port: number;
  readonly #link: MessageSocket;
  readonly #listeners: ((message: AnyMessage) => void)[] = [];
  #resolveReply: (message: AnyMessage | undefined) => void = () => {};

  constructor(links: ControllerLinks, port: number) {
    this.#links = links;
    this.#port = port;
    this.#link = links.open('registration', links.sockets.dealer(), port, (frames) => this.#receive(frames));
  }

  /** Registers with the hub. @throws The errors of {@link register}. */
  async register(id: number | undefined, deadline: Deadline): Promise<Registration> {
    return await register({
      session: this.#links.session,
      link: this.#link,
      id,
      probe: () => this.#links.probe(this.#port, (frames) => this.#receive(frames)),
      deadline,
      nextMessage: () =>
        new Promise((resolve) => {
          this.#resolveReply = resolve;
        }),
    });
  }

  /** Calls `listener` with every verified message from the hub. */
  onMessage(listener: (message: AnyMessage) => void): void {
    this.#listeners.push(listener);
  }

  /** Sends a request and returns its message id. */
  send(msgType: MsgType, content: Dict): string {
    const { session } = this.#links;
    const message = session.rawMessage(msgType, content);
    this.#link.send(session.encode(message));
    return message.msg_id;
  }

  /** The hub's address and a newly signed unregistration request. A hub accepts each signed message once. */
  unregistrationRequest(id: number): { readonly address: string; readonly frames: Buffer[] } {
    const { session } = this.#links;
    return {
      address: this.#links.address(this.#port),
      frames: session.encode(session.message('unregistration_request', { id })),
    };
  }

  unregister(id: number): void {
    this.#link.send(this.unregistrationRequest(id).frames);
  }

  #receive(frames: Buffer[]): void {
    const message = this.#links.intake.decode('registration', frames);
    if (message === undefined || message.msg_type === 'registration_reply') this.#resolveReply(message);
    if (message === undefined) return;
    for (const listener of this.#listeners) listener(message);
  }
}
