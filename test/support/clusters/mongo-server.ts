// A server that speaks MongoDB's protocol: the server at MONGODB_URI, otherwise a FerretDB that the test starts.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { MongoClient } from 'mongodb';
import { root } from '../repository.js';
import { describeRequiring } from '../requirements.js';
import { PortBlock } from './ports.js';

const program = join(root, '.tools/ferretdb', process.platform === 'win32' ? 'ferretdb.exe' : 'ferretdb');
const configured = process.env['MONGODB_URI'] || undefined;

/** The reason in one line why no server is available, if so. */
function missingMongo(): string | undefined {
  if (configured !== undefined || existsSync(program)) return undefined;
  return 'no MongoDB server: build one with node scripts/ferretdb.mjs (needs Go), or name one in MONGODB_URI';
}

/** A `describe` of tests that need a MongoDB server; with `own`, a server that they may kill. */
export function describeMongo(name: string, body: () => void, options: { own?: boolean } = {}): void {
  const missing = options.own === true && !existsSync(program) ? `${program} is not built` : missingMongo();
  describeRequiring(missing, name, body);
}

export class MongoServer {
  readonly uri: string;
  readonly #directory: string | undefined;
  readonly #databases = new Set<string>();
  /** The port of a server that the test may kill, which no other process takes while the server restarts. */
  readonly #ports: PortBlock | undefined;
  #child: ChildProcess | undefined;

  private constructor(uri: string, directory?: string, child?: ChildProcess, ports?: PortBlock) {
    this.uri = uri;
    this.#directory = directory;
    this.#child = child;
    this.#ports = ports;
  }

  /** With `own`, starts a server that the test may kill, never that of MONGODB_URI. */
  static async start(options: { own?: boolean } = {}): Promise<MongoServer> {
    if (configured !== undefined && options.own !== true) return new MongoServer(configured);
    const directory = mkdtempSync(join(tmpdir(), 'ippjs-mongo-'));
    const ports = options.own === true ? await PortBlock.reserve(2) : undefined;
    try {
      const port = ports?.range(1, 1).from ?? 0;
      const { child, uri } = await spawnServer(directory, `127.0.0.1:${port}`);
      return new MongoServer(uri, directory, child, ports);
    } catch (error) {
      await ports?.release();
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** Returns a name that no other test uses. Disposal drops the database. */
  newDatabase(): string {
    const name = `ippjs_test_${randomBytes(6).toString('hex')}`;
    this.#databases.add(name);
    return name;
  }

  /** Kills the server. */
  async kill(): Promise<void> {
    await end(this.#child, 'SIGKILL');
    this.#child = undefined;
  }

  /** Restarts the server at the same address and with the same data. */
  async restart(): Promise<void> {
    if (this.#directory === undefined)
      throw new Error('cannot restart the server at MONGODB_URI; start one with { own: true }');
    await this.kill();
    const { child } = await spawnServer(this.#directory, new URL(this.uri).host);
    this.#child = child;
  }

  /** Stops the server's process with SIGSTOP, or continues it. */
  freeze(frozen: boolean): void {
    this.#child?.kill(frozen ? 'SIGSTOP' : 'SIGCONT');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#directory === undefined) {
      const client = new MongoClient(this.uri);
      try {
        for (const name of this.#databases) await client.db(name).dropDatabase();
      } finally {
        await client.close();
      }
      return;
    }
    await this.kill();
    await this.#ports?.release();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

async function spawnServer(
  directory: string,
  address: string,
): Promise<{ child: ChildProcess; uri: string }> {
  // The server ends with its standard input, so that a killed test run leaves nothing behind.
  const child = spawn(program, ['-dir', directory, '-listen', address, '-remove'], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-10_000);
  });
  child.stdin.on('error', () => undefined);
  const uri = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', resolve);
    child.once('error', reject);
    child.once('exit', (code, signal) => reject(new Error(`ferretdb ended (${code ?? signal}): ${log}`)));
  });
  return { child, uri };
}

async function end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  await exited;
}
