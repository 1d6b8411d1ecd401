// The context of the proofs of python-names.test.ts: our cluster, and the tasks, clients and files of one proof.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import type { AsyncResult, Client, WaitOptions } from '@ipyparallel-js/client';
import type { Cluster } from '@ipyparallel-js/cluster';
import { waitFor } from '../../wait-for.js';

/** Proves that a member of the API does what its Python name says. */
export type Proof = (context: ProofContext) => Promise<void>;
export type Proofs = Readonly<Record<string, Proof>>;

/** A task that runs until it is released. */
export interface HeldTask {
  readonly ar: AsyncResult<string, string>;
  release(): void;
}

// Without `import`, because the compiler of the tests would rewrite it.
const untilThere = async (path: string): Promise<string> => {
  const { existsSync: isThere } = process.getBuiltinModule('node:fs');
  while (!isThere(path)) await new Promise((resolve) => setTimeout(resolve, 5));
  return 'released';
};

/** One run of a proof. */
export class ProofContext {
  readonly cluster: Cluster;
  readonly rc: Client;
  /** An engine that a proof may stop. */
  readonly spareEngine: number;
  /** How long a proof waits; short while it must fail. */
  readonly wait: WaitOptions & { readonly timeout: number };
  /** Must be called for each view, because members may be fields of the object. */
  readonly observe: <O extends object>(object: O) => O;
  readonly #directory = mkdtempSync(join(tmpdir(), 'ippjs-names-'));
  readonly #clients: Client[] = [];
  readonly #heldTasks: HeldTask[] = [];

  constructor(
    parts: { readonly cluster: Cluster; readonly rc: Client; readonly spareEngine: number },
    observe: (object: object) => void,
    timeout: number,
  ) {
    this.cluster = parts.cluster;
    this.rc = parts.rc;
    this.spareEngine = parts.spareEngine;
    this.wait = { timeout };
    this.observe = (object) => {
      observe(object);
      return object;
    };
  }

  /** Connects another client to the cluster. */
  async connect(): Promise<Client> {
    const other = await this.cluster.connect({ timeout: 30_000 });
    this.#clients.push(other);
    return other;
  }

  /** Occupies an engine, and waits until its task has started. */
  async hold(engine: number): Promise<HeldTask> {
    const heldTask = this.holdBy((path) => this.rc.directView(engine).apply(untilThere, path));
    await this.until(() => heldTask.ar.metadata[0]?.begun instanceof Date);
    return heldTask;
  }

  /** Submits a task through `submit` that runs until it is released. */
  holdBy(submit: (path: string) => AsyncResult<string, string>): HeldTask {
    const path = this.file(`held-${this.#heldTasks.length}`);
    const heldTask = { ar: submit(path), release: () => writeFileSync(path, '') };
    this.#heldTasks.push(heldTask);
    return heldTask;
  }

  /** The function that {@link holdBy} submits. */
  readonly untilThere = untilThere;

  /** Waits until the condition is true. */
  async until(check: () => boolean | Promise<boolean>): Promise<void> {
    await waitFor(check, { timeout: this.wait.timeout });
  }

  /** Waits until the hub has recorded the end of a task. */
  async recorded(id: string | undefined): Promise<void> {
    const query = { msg_id: id ?? '', completed: { $ne: null } };
    await this.until(async () => (await this.recordsOf(query)).length === 1);
  }

  /** The ids of the hub's records, queried by the shared client. */
  async recordsOf(query: Parameters<Client['dbQuery']>[0]): Promise<string[]> {
    return (await this.rc.dbQuery(query, ['msg_id'])).map(({ msg_id }) => msg_id);
  }

  /** The path of a temporary file. */
  file(name: string): string {
    return join(this.#directory, name);
  }

  async end(): Promise<void> {
    if (!existsSync(this.#directory)) return;
    for (const heldTask of this.#heldTasks) heldTask.release();
    // Waits for all tasks, because the rest of a failed proof would disturb the next one.
    const what = 'the tasks of the proof to end';
    await waitFor(() => this.rc.outstanding.length === 0, { timeout: 60_000, what });
    await Promise.all(this.#clients.map((client) => client.close()));
    rmSync(this.#directory, { recursive: true });
  }
}

/** Stores the written text. */
export class Written extends Writable {
  text = '';

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}
