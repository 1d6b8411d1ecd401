// What the proofs of python-names.test.ts stand on: a cluster of ours, and what they hold up, start and open.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import type { AsyncResult, Client, WaitOptions } from '@ipyparallel-js/client';
import type { Cluster } from '@ipyparallel-js/cluster';
import { waitFor } from '../../wait-for.js';

/** A proof that a member of the API does what its name says, by the name that Python has for it. */
export type Proof = (ground: Ground) => Promise<void>;
export type Proofs = Readonly<Record<string, Proof>>;

/** A task that lasts until it is released. */
export interface Held {
  readonly ar: AsyncResult<string, string>;
  release(): void;
}

// Imported by no `import`, which the compiler of the tests would turn into something of its own.
const untilThere = async (path: string): Promise<string> => {
  const { existsSync: isThere } = process.getBuiltinModule('node:fs');
  while (!isThere(path)) await new Promise((resolve) => setTimeout(resolve, 5));
  return 'released';
};

/** One run of a proof. */
export class Ground {
  readonly cluster: Cluster;
  readonly rc: Client;
  /** An engine that may be ended. */
  readonly spareEngine: number;
  /** How long a proof waits for what must come; short while it is to fail. */
  readonly patience: WaitOptions & { readonly timeout: number };
  /** To be told of each view, whose fields may be out of order. */
  readonly touch: <O extends object>(object: O) => O;
  readonly #directory = mkdtempSync(join(tmpdir(), 'ippjs-names-'));
  readonly #clients: Client[] = [];
  readonly #held: Held[] = [];

  constructor(
    parts: { readonly cluster: Cluster; readonly rc: Client; readonly spareEngine: number },
    touch: (object: object) => void,
    timeout: number,
  ) {
    this.cluster = parts.cluster;
    this.rc = parts.rc;
    this.spareEngine = parts.spareEngine;
    this.patience = { timeout };
    this.touch = (object) => {
      touch(object);
      return object;
    };
  }

  /** Another client of the cluster. */
  async connect(): Promise<Client> {
    const other = await this.cluster.connect({ timeout: 30_000 });
    this.#clients.push(other);
    return other;
  }

  /** Keeps an engine busy, and waits until it is. */
  async hold(engine: number): Promise<Held> {
    const held = this.holdBy((path) => this.rc.directView(engine).apply(untilThere, path));
    await this.until(() => held.ar.metadata[0]?.begun instanceof Date);
    return held;
  }

  /** A task, submitted by `submit`, that lasts until it is released. */
  holdBy(submit: (path: string) => AsyncResult<string, string>): Held {
    const path = this.file(`held-${this.#held.length}`);
    const held = { ar: submit(path), release: () => writeFileSync(path, '') };
    this.#held.push(held);
    return held;
  }

  /** What {@link holdBy} submits. */
  readonly untilThere = untilThere;

  /** Waits until something is so. */
  async until(check: () => boolean | Promise<boolean>): Promise<void> {
    await waitFor(check, { timeout: this.patience.timeout });
  }

  /** Waits until the hub has the end of a task on record. */
  async recorded(id: string | undefined): Promise<void> {
    const query = { msg_id: id ?? '', completed: { $ne: null } };
    await this.until(async () => (await this.recordsOf(query)).length === 1);
  }

  /** The ids of the hub's records, asked by the cluster's own means. */
  async recordsOf(query: Parameters<Client['dbQuery']>[0]): Promise<string[]> {
    return (await this.rc.dbQuery(query, ['msg_id'])).map(({ msg_id }) => msg_id);
  }

  /** The path of a file of this run. */
  file(name: string): string {
    return join(this.#directory, name);
  }

  async end(): Promise<void> {
    if (!existsSync(this.#directory)) return;
    for (const held of this.#held) held.release();
    // All of it: what a proof that has failed leaves behind would stand in the way of the next.
    const what = 'the tasks of the proof to end';
    await waitFor(() => this.rc.outstanding.length === 0, { timeout: 60_000, what });
    await Promise.all(this.#clients.map((client) => client.close()));
    rmSync(this.#directory, { recursive: true });
  }
}

/** Keeps what is written to it. */
export class Written extends Writable {
  text = '';

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}
