import { setTimeout as sleep } from 'node:timers/promises';
import type { Child } from '../processes/child.js';
import type { EngineKind } from './options.js';

const POLL_MS = 50;

/** An engine that was started: its process, and its id once the hub has given one. */
export class EngineProcess {
  readonly kind: EngineKind;
  readonly child: Child;
  /** Undefined until the hub has given one. */
  id: number | undefined;
  /** Resolves with the id; with undefined when the engine ended without one. */
  readonly registered: Promise<number | undefined>;
  #onId: (id: number) => void = () => {};

  /** `start` gets what is to be called with each message of the process. */
  constructor(kind: EngineKind, start: (onMessage: (message: unknown) => void) => Child) {
    this.kind = kind;
    const given = new Promise<number>((resolve) => {
      this.#onId = resolve;
    });
    this.child = start((message) => this.#receive(message));
    if (kind === 'python') void this.#watchLog();
    this.registered = Promise.race([given, this.child.exited.then(() => undefined)]).then((id) => {
      this.id = id;
      return id;
    });
  }

  /** A JavaScript engine tells its parent. */
  #receive(message: unknown): void {
    if (typeof message !== 'object' || message === null) return;
    if (
      'type' in message &&
      message.type === 'registered' &&
      'id' in message &&
      typeof message.id === 'number'
    ) {
      this.#onId(message.id);
    }
  }

  /** A Python engine writes a line into its log. */
  async #watchLog(): Promise<void> {
    while (this.child.exit === undefined) {
      const id = /Completed registration with id (\d+)/.exec(this.child.readLog())?.[1];
      if (id !== undefined) return this.#onId(Number(id));
      await sleep(POLL_MS);
    }
  }
}
