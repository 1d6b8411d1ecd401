import type { LinkState, Logger } from '@ipyparallel-js/wire';

/** How long an engine with a heart keeps it still until its other links are up, in ms. */
const LONGEST_SILENCE = 3000;

/** What an engine knows of its links to the controller: which broke, and when all of them are up again. */
export class Links {
  readonly #log: Logger;
  readonly #address: string;
  readonly #onChange: (links: Links) => void;
  readonly #down = new Set<string>();
  #broken = false;
  #heartSince = 0;

  /** `onChange` is called at each link that breaks, or is up again after that. */
  constructor(address: string, log: Logger, onChange: (links: Links) => void) {
    this.#address = address;
    this.#log = log;
    this.#onChange = onChange;
  }

  /** Whether a link of this name was not lost, or is up again. */
  isUp(name: string): boolean {
    return !this.#down.has(name);
  }

  /** Whether no link is lost. */
  get complete(): boolean {
    return this.#down.size === 0;
  }

  /**
   * Whether heartbeats are to be answered: a hub takes an engine that beats for one that can be sent work, and what is
   * sent where there is no link yet is lost. A link that stays away is not waited for.
   */
  get mayBeat(): boolean {
    return this.complete || performance.now() - this.#heartSince > LONGEST_SILENCE;
  }

  /** A link has changed. */
  set(name: string, state: LinkState): void {
    if (state !== 'up') {
      if (!this.#broken)
        this.#log.info(`a link to the controller at ${this.#address} broke (${name}); it is connected again`);
      this.#broken = true;
      this.#down.add(name);
    } else if (this.#down.delete(name)) {
      if (name === 'hb_pong') this.#heartSince = performance.now();
      if (this.complete) {
        this.#broken = false;
        this.#log.info(`all links to the controller at ${this.#address} are up again`);
      }
    } else return;
    this.#onChange(this);
  }
}
