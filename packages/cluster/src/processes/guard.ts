import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** A command to the guard process: process group leaders to watch, paths to remove, or the release at a regular end. */
export type GuardCommand =
  | { readonly watch: number; readonly role: 'controller' | 'engine' }
  | { readonly forget: number }
  | { readonly remove: string }
  | { readonly release: true };

/**
 * A separate process that ends the cluster's processes and removes its files if this process ends without doing so: by a
 * signal, a crash or `process.exit()`.
 */
export class Guard {
  readonly #child: ChildProcess;

  constructor() {
    this.#child = spawn(process.execPath, [fileURLToPath(new URL('./guard-main.js', import.meta.url))], {
      // In its own session, so that a closing terminal does not end the guard together with this process.
      detached: true,
      cwd: '/',
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    // The cluster also works without a guard.
    this.#child.on('error', () => {});
    this.#child.stdin?.on('error', () => {});
    this.#child.unref();
  }

  send(command: GuardCommand): void {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  /** Ends the guard process without any action; resolves when it has ended. */
  async release(): Promise<void> {
    const child = this.#child;
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.ref();
    const ended = once(child, 'exit');
    this.send({ release: true });
    child.stdin?.end();
    await ended;
  }
}
