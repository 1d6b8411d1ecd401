import { ConnectionClosedError } from '@ipyparallel-js/protocol';
import { formatMs } from '@ipyparallel-js/wire';

/** How long the hub may be out of reach before what waits for it fails, in ms. */
export const HUB_GRACE_MS = 10_000;

/** Notices when the hub is gone for good, so that nothing waits for ever. */
export class ConnectionWatch {
  readonly #address: string;
  readonly #onGone: (error: Error) => void;
  readonly #onBack: () => void;
  #timer: NodeJS.Timeout | undefined;
  #lost = false;

  constructor(address: string, onGone: (error: Error) => void, onBack: () => void) {
    this.#address = address;
    this.#onGone = onGone;
    this.#onBack = onBack;
  }

  /** The link to the hub came up or went down. */
  onLink(up: boolean): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (up) {
      if (this.#lost) this.#onBack();
      this.#lost = false;
      return;
    }
    this.#lost = true;
    this.#timer = setTimeout(() => {
      this.#onGone(
        new ConnectionClosedError(
          `the controller at ${this.#address} has been out of reach for ${formatMs(HUB_GRACE_MS)}; it has stopped, or the network is cut`,
        ),
      );
    }, HUB_GRACE_MS);
    this.#timer.unref();
  }

  /** The hub has said that it stops. */
  onShutdown(): void {
    this.#onGone(new ConnectionClosedError(`the controller at ${this.#address} has shut down`));
  }

  close(): void {
    clearTimeout(this.#timer);
  }
}
