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
  #gone: Error | undefined;

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
      this.#gone = undefined;
      if (this.#lost) this.#onBack();
      this.#lost = false;
      return;
    }
    this.#lost = true;
    // A hub that has said that it stops is gone already.
    if (this.#gone !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#end(
        new ConnectionClosedError(
          `the controller at ${this.#address} has been out of reach for ${formatMs(HUB_GRACE_MS)}; it has stopped, or the network is cut`,
        ),
      );
    }, HUB_GRACE_MS);
    this.#timer.unref();
  }

  /** The hub has said that it stops. */
  onShutdown(): void {
    this.#end(new ConnectionClosedError(`the controller at ${this.#address} has shut down`));
  }

  /** @throws ConnectionClosedError while the hub is gone: work sent now would be waited for without end */
  assertReachable(): void {
    if (this.#gone !== undefined) throw this.#gone;
  }

  #end(error: Error): void {
    this.#gone = error;
    this.#onGone(error);
  }

  close(): void {
    clearTimeout(this.#timer);
  }
}
