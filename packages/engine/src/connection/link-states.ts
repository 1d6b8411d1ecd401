import type { LinkState, Logger } from '@ipyparallel-js/wire';

/** How long the engine withholds heartbeats while other links are down, in ms. */
const MAX_WITHHOLDING = 3000;

/** Records which links to the controller are down. */
export class LinkStates {
  readonly #log: Logger;
  readonly #address: string;
  readonly #down = new Set<string>();
  readonly #listeners: ((states: LinkStates) => void)[] = [];
  #broken = false;
  #heartUpAt = 0;

  constructor(address: string, log: Logger) {
    this.#address = address;
    this.#log = log;
  }

  /** Calls `listener` whenever a link breaks or is restored. */
  onChange(listener: (states: LinkStates) => void): void {
    this.#listeners.push(listener);
  }

  isUp(name: string): boolean {
    return !this.#down.has(name);
  }

  get allUp(): boolean {
    return this.#down.size === 0;
  }

  /**
   * Whether the engine may reply to heartbeats. A hub sends work to an engine that beats, and ZeroMQ drops work for a
   * socket that is not connected yet. The engine waits at most three seconds for a link that stays down.
   */
  get heartbeatAllowed(): boolean {
    return this.allUp || performance.now() - this.#heartUpAt > MAX_WITHHOLDING;
  }

  set(name: string, state: LinkState): void {
    if (state !== 'up') {
      if (!this.#broken)
        this.#log.info(`the ${name} link to the controller at ${this.#address} broke; reconnecting`);
      this.#broken = true;
      this.#down.add(name);
    } else if (this.#down.delete(name)) {
      if (name === 'hb_pong') this.#heartUpAt = performance.now();
      if (this.allUp) {
        this.#broken = false;
        this.#log.info(`all links to the controller at ${this.#address} are up again`);
      }
    } else return;
    for (const listener of this.#listeners) listener(this);
  }
}
