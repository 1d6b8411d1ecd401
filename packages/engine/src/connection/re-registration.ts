import type { AnyMessage } from '@ipyparallel-js/protocol';
import { isDict } from '@ipyparallel-js/protocol/internal';
import type { Logger } from '@ipyparallel-js/wire';
import type { LinkStates } from './link-states.js';
import type { Registrar } from './registrar.js';

export interface ReRegistrationOptions {
  readonly id: number;
  readonly uuid: string;
  readonly registrar: Pick<Registrar, 'send'>;
  readonly log: Logger;
  /** Called when the restarted controller has assigned this engine's id to another engine, and `id` to this one. */
  readonly onIdMismatch: (id: number) => void;
  /** Called when all links are up again and the hub lists this engine; `isStockHub` for a Python hub. */
  readonly onReconnect: (isStockHub: boolean) => void;
}

/** How long after a reconnect to query the hub, in ms. A hub that restores its engines lists them at their first beats. */
const QUERY_DELAY = 3000;

/**
 * Registers an engine again with a controller that was restarted on the same ports and does not list it. ZeroMQ
 * reconnects the sockets by itself, but a hub that started empty would never send work to this engine.
 */
export class ReRegistration {
  readonly #options: ReRegistrationOptions;
  #hasLinkChanged = false;
  #areAllUp = true;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ReRegistrationOptions) {
    this.#options = options;
  }

  /** Handles a link that broke or was restored. */
  handleLinkChange(states: LinkStates): void {
    this.#hasLinkChanged = true;
    this.#areAllUp = states.areAllUp;
    clearTimeout(this.#timer);
    if (states.isUp('registration')) this.#timer = setTimeout(() => this.#queryEngines(), QUERY_DELAY);
  }

  /** Handles a message from the hub. */
  handleMessage({ msg_type: type, content }: AnyMessage): void {
    const { id, uuid, registrar, log, onIdMismatch, onReconnect } = this.#options;
    if (type === 'connection_reply' && isDict(content['engines'])) {
      if (!this.#hasLinkChanged) return;
      this.#hasLinkChanged = false;
      clearTimeout(this.#timer);
      if (Object.values(content['engines']).includes(uuid)) {
        if (this.#areAllUp) onReconnect(!isDict(content['hub']));
        return;
      }
      log.warn('the controller was restarted and does not list this engine; registering again');
      registrar.send('registration_request', { uuid, id });
      return;
    }
    if (type !== 'registration_reply') return;
    const assignedId = content['id'];
    if (content['status'] !== 'ok')
      log.info(`the hub refused to register the engine again: ${String(content['evalue'])}`);
    else if (typeof assignedId === 'number' && assignedId !== id) onIdMismatch(assignedId);
    else log.info(`registered again as engine ${id}`);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #queryEngines(): void {
    this.#options.registrar.send('connection_request', {});
    this.#timer = setTimeout(() => this.#queryEngines(), 10 * QUERY_DELAY);
  }
}
