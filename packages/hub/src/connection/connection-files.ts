import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Dict } from '@ipyparallel-js/protocol';

/** Where a controller's connection files are. */
export interface ConnectionFilePaths {
  readonly clientFile: string;
  readonly engineFile: string;
}

/** The paths of the two connection files. */
export function connectionFilePaths(securityDir: string, clusterId: string): ConnectionFilePaths {
  const base = clusterId === '' ? 'ipcontroller' : `ipcontroller-${clusterId}`;
  return {
    clientFile: join(securityDir, `${base}-client.json`),
    engineFile: join(securityDir, `${base}-engine.json`),
  };
}

/** The two connection files of a controller, and what they hold. */
export class ConnectionFiles {
  readonly clientFile: string;
  readonly engineFile: string;
  readonly #texts: { readonly client: string; readonly engine: string };

  constructor(paths: ConnectionFilePaths, infos: { readonly client: Dict; readonly engine: Dict }) {
    this.clientFile = paths.clientFile;
    this.engineFile = paths.engineFile;
    this.#texts = {
      client: `${JSON.stringify(infos.client, null, 2)}\n`,
      engine: `${JSON.stringify(infos.engine, null, 2)}\n`,
    };
  }

  /** Writes both, whole or not at all, readable by their owner only; the client's first. */
  async write(): Promise<void> {
    await writeWhole(this.clientFile, this.#texts.client);
    await writeWhole(this.engineFile, this.#texts.engine);
  }

  /** Removes both, unless another controller has put its own in their place. */
  async remove(): Promise<void> {
    await removeOwn(this.clientFile, this.#texts.client);
    await removeOwn(this.engineFile, this.#texts.engine);
  }
}

/** Makes a directory that only its owner may enter, where it does not exist. */
export async function makePrivateDirectory(path: string): Promise<void> {
  const made = await mkdir(path, { recursive: true, mode: 0o700 });
  if (made !== undefined) await chmod(path, 0o700);
}

async function writeWhole(path: string, text: string): Promise<void> {
  const draft = `${path}.${process.pid}.tmp`;
  // Never follow or reuse what lies there: the key must not go into a file that others can read.
  await rm(draft, { force: true });
  await writeFile(draft, text, { mode: 0o600, flag: 'wx' });
  await rename(draft, path);
}

async function removeOwn(path: string, text: string): Promise<void> {
  try {
    if ((await readFile(path, 'utf8')) === text) await rm(path);
  } catch {
    // Gone already, or not ours to read.
  }
}
