import type { AnyMessage, Session } from '@ipyparallel-js/protocol';
import { isDict } from '@ipyparallel-js/protocol/internal';
import type { Logger, MessageSocket } from '@ipyparallel-js/wire';
import type { Links } from './links.js';

/** What a {@link Reunion} stands on. */
export interface ReunionOptions {
  readonly session: Session;
  readonly id: number;
  /** The link to the hub's registration socket. */
  readonly link: MessageSocket;
  readonly log: Logger;
  /** The controller that is there now has given our id to another engine. */
  readonly onOtherId: (id: number) => void;
  /** All links are up again, and the hub knows this engine; `stock` for one that is not ours. */
  readonly onBack: (stock: boolean) => void;
}

/** A hub that takes its engines back does so at their first beats, so it is asked a little later, in ms. */
const PATIENCE = 3000;

/**
 * Registers an engine anew with a controller that was restarted on the same ports and does not know it: ZeroMQ connects
 * its sockets again by itself, but a hub that started empty would never use it.
 */
export class Reunion {
  readonly #options: ReunionOptions;
  #wasDown = false;
  #complete = true;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ReunionOptions) {
    this.#options = options;
  }

  /** A link broke, or is up again. */
  linksAre(links: Links): void {
    this.#wasDown = true;
    this.#complete = links.complete;
    clearTimeout(this.#timer);
    if (links.isUp('registration')) this.#timer = setTimeout(() => this.#ask(), PATIENCE);
  }

  /** A message from the hub. */
  take({ msg_type: type, content }: AnyMessage): void {
    const { session, id, link, log, onOtherId, onBack } = this.#options;
    if (type === 'connection_reply' && isDict(content['engines'])) {
      if (!this.#wasDown) return;
      this.#wasDown = false;
      clearTimeout(this.#timer);
      if (Object.values(content['engines']).includes(session.session)) {
        if (this.#complete) onBack(!isDict(content['hub']));
        return;
      }
      log.warn('the controller was restarted and does not know this engine; it registers anew');
      link.send(session.encode(session.message('registration_request', { uuid: session.session, id })));
      return;
    }
    if (type !== 'registration_reply') return;
    const given = content['id'];
    if (content['status'] !== 'ok') log.info(`not registered anew: ${String(content['evalue'])}`);
    else if (typeof given === 'number' && given !== id) onOtherId(given);
    else log.info(`registered anew as engine ${id}`);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #ask(): void {
    const { session, link } = this.#options;
    link.send(session.encode(session.message('connection_request', {})));
    this.#timer = setTimeout(() => this.#ask(), 10 * PATIENCE);
  }
}
