// Runs a service that watches a query in a child process, and keeps its events after the process has ended.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { TaskQuery, WatchEvent, WatchSequence } from '@ipyparallel-js/client';
import { waitFor } from '../wait-for.js';

export interface WatcherSettings {
  readonly connection: Record<string, unknown>;
  readonly query: TaskQuery;
  readonly keys: readonly string[] | null;
  readonly after?: WatchSequence | undefined;
}

interface Identified {
  readonly msg_id: string;
}

export class WatcherProcess implements AsyncDisposable {
  /** The printed events; dates are text. */
  readonly events: WatchEvent<Identified>[] = [];
  readonly child: ChildProcess;
  readonly #exited: Promise<unknown>;

  constructor(settings: WatcherSettings, onEvent: (event: WatchEvent<Identified>) => void = () => undefined) {
    const file = join(import.meta.dirname, 'watcher.ts');
    const child = spawn(process.execPath, ['--import', 'tsx', file, JSON.stringify(settings)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.child = child;
    this.#exited = new Promise((resolve) => child.once('close', resolve));
    let unread = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = `${unread}${text}`.split('\n');
      // A service that is killed may leave half a line.
      unread = lines.pop() ?? '';
      for (const line of lines) {
        const event = JSON.parse(line) as WatchEvent<Identified>;
        this.events.push(event);
        onEvent(event);
      }
    });
  }

  /** Waits until the service has printed `count` events. */
  async printed(count: number): Promise<void> {
    await waitFor(
      () => {
        if (this.child.exitCode !== null) throw new Error(`the watcher ended (${this.child.exitCode})`);
        return this.events.length >= count;
      },
      { timeout: 60_000, what: () => `event ${count}; received ${this.events.length}` },
    );
  }

  /** Kills the service, and waits until all its output has been read. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
