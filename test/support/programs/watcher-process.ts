// A service that follows a query, as a process of its own; what it told is kept beyond its end.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TaskQuery, WatchEvent, WatchSequence } from '@ipyparallel-js/client';
import { waitFor } from '../wait-for.js';

export interface WatcherOrders {
  readonly connection: Record<string, unknown>;
  readonly query: TaskQuery;
  readonly keys: readonly string[] | null;
  readonly after?: WatchSequence | undefined;
}

interface Identified {
  readonly msg_id: string;
}

export class WatcherProcess implements AsyncDisposable {
  /** What it has said; dates are texts. */
  readonly events: WatchEvent<Identified>[] = [];
  readonly child: ChildProcess;
  readonly #exited: Promise<unknown>;

  constructor(orders: WatcherOrders, onEvent: (event: WatchEvent<Identified>) => void = () => undefined) {
    const file = join(import.meta.dirname, 'watcher.ts');
    const child = spawn(process.execPath, ['--import', 'tsx', file, JSON.stringify(orders)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.child = child;
    this.#exited = new Promise((resolve) => child.once('close', resolve));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const event = JSON.parse(line) as WatchEvent<Identified>;
      this.events.push(event);
      onEvent(event);
    });
  }

  /** Waits until it has said so much. */
  async said(count: number): Promise<void> {
    await waitFor(
      () => {
        if (this.child.exitCode !== null) throw new Error(`the watcher ended (${this.child.exitCode})`);
        return this.events.length >= count;
      },
      { timeout: 60_000, what: () => `event ${count}; there are ${this.events.length}` },
    );
  }

  /** Kills it at once, and waits until all that it said has been read. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
