import { setTimeout as sleep } from 'node:timers/promises';
import type { Child } from '../processes/child.js';
import type { EngineKind } from './options.js';

const POLL_MS = 50;

/** The process of an engine, and its id once the hub has assigned one. */
export class EngineProcess {
  readonly kind: EngineKind;
  readonly child: Child;
  /** Undefined until the hub has assigned one. */
  id: number | undefined;
  /** Resolves with the id, or with undefined when the engine ended without one. */
  readonly registered: Promise<number | undefined>;
  #resolveId: (id: number) => void = () => {};

  /** `start` must pass each message of the process to `onMessage`. */
  constructor(kind: EngineKind, start: (onMessage: (message: unknown) => void) => Child) {
    this.kind = kind;
    const idPromise = new Promise<number>((resolve) => {
      this.#resolveId = resolve;
    });
    this.child = start((message) => this.#receive(message));
    if (kind === 'python') void this.#watchLog();
    this.registered = Promise.race([idPromise, this.child.exited.then(() => undefined)]).then((id) => {
      this.id = id;
      return id;
    });
  }

  /** A JavaScript engine sends its id to its parent. */
  #receive(message: unknown): void {
    if (typeof message !== 'object' || message === null) return;
    if (
      'type' in message &&
      message.type === 'registered' &&
      'id' in message &&
      typeof message.id === 'number'
    ) {
      this.#resolveId(message.id);
    }
  }

  /** A Python engine writes its id to its log. */
  async #watchLog(): Promise<void> {
    while (this.child.exit === undefined) {
      const id = /Completed registration with id (\d+)/.exec(this.child.readLog())?.[1];
      if (id !== undefined) return this.#resolveId(Number(id));
      await sleep(POLL_MS);
    }
  }
}
