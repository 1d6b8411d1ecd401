import type { LinkState, Logger } from '@ipyparallel-js/wire';

/** How long the engine withholds its replies to heartbeats while other links are down, in ms. */
const MAX_WITHHOLD_TIME = 3000;

/** Records which links to the controller are down. */
export class LinkStates {
  readonly #log: Logger;
  readonly #address: string;
  readonly #downLinks = new Set<string>();
  readonly #listeners: ((states: LinkStates) => void)[] = [];
  #isBroken = false;
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
    return !this.#downLinks.has(name);
  }

  get areAllUp(): boolean {
    return this.#downLinks.size === 0;
  }

  /**
   * Whether the engine may reply to heartbeats. A hub sends work to an engine that replies to heartbeats, and ZeroMQ
   * drops work for a socket that is not connected yet. The engine waits at most three seconds for a link that stays down.
   */
  get mayReplyToHeartbeats(): boolean {
    return this.areAllUp || performance.now() - this.#heartUpAt > MAX_WITHHOLD_TIME;
  }

  set(name: string, state: LinkState): void {
    if (state !== 'up') {
      if (!this.#isBroken)
        this.#log.info(`the ${name} link to the controller at ${this.#address} broke; reconnecting`);
      this.#isBroken = true;
      this.#downLinks.add(name);
    } else if (this.#downLinks.delete(name)) {
      if (name === 'hb_pong') this.#heartUpAt = performance.now();
      if (this.areAllUp) {
        this.#isBroken = false;
        this.#log.info(`all links to the controller at ${this.#address} are up again`);
      }
    } else return;
    for (const listener of this.#listeners) listener(this);
  }
}
