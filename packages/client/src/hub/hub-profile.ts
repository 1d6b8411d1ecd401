import type { HubInfo } from '@ipyparallel-js/protocol';

/**
 * The facts about the connected hub. Every part of the client holds the same profile; it is updated at each connection,
 * which may lead to another controller.
 */
export class HubProfile {
  #info: HubInfo | undefined;
  readonly #listeners: (() => void)[] = [];

  /** The hub's description of itself; undefined for a Python hub, and before the first connection. */
  get info(): HubInfo | undefined {
    return this.#info;
  }

  /** Whether the hub is this project's, not Python's. */
  get isOurs(): boolean {
    return this.#info !== undefined;
  }

  /** The features that the hub announces; none for a Python hub. */
  get features(): readonly string[] {
    return this.#info?.features ?? [];
  }

  /** The id of the hub's run; undefined for a Python hub. */
  get epoch(): string | undefined {
    return this.#info?.epoch;
  }

  /** Whether the hub announces a feature, for example `page`. */
  supports(feature: string): boolean {
    return this.features.includes(feature);
  }

  /** Stores the facts about the hub that answered the latest connection request, and notifies all listeners. */
  update(info: HubInfo | undefined): void {
    this.#info = info;
    for (const listener of this.#listeners) listener();
  }

  /** Calls `listener` after every update; listeners run in the order of their registration. */
  onUpdate(listener: () => void): void {
    this.#listeners.push(listener);
  }
}
