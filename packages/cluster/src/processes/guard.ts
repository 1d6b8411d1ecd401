import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** What a guard is told: processes that lead a group of their own, paths to remove, and in the end that all is well. */
export type GuardOrder =
  | { readonly watch: number; readonly role: 'controller' | 'engine' }
  | { readonly forget: number }
  | { readonly remove: string }
  | { readonly release: true };

/**
 * A process of its own that ends the cluster's processes and removes its files when this process is gone without having
 * done so: killed, crashed, or ended by `process.exit()`.
 */
export class Guard {
  readonly #child: ChildProcess;

  constructor() {
    this.#child = spawn(process.execPath, [fileURLToPath(new URL('./guard-main.js', import.meta.url))], {
      // A session of its own, so that the terminal that takes this process does not take it, too.
      detached: true,
      cwd: '/',
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    // Without a guard the cluster still works; there is nobody to tell.
    this.#child.on('error', () => {});
    this.#child.stdin?.on('error', () => {});
    this.#child.unref();
  }

  tell(order: GuardOrder): void {
    this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
  }

  /** Sends it home when nothing is left to guard; resolves when it has ended. */
  async release(): Promise<void> {
    const child = this.#child;
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.ref();
    const ended = once(child, 'exit');
    this.tell({ release: true });
    child.stdin?.end();
    await ended;
  }
}
