import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Dict } from '@ipyparallel-js/protocol';

/** The paths of a controller's connection files. */
export interface ConnectionFilePaths {
  readonly clientFile: string;
  readonly engineFile: string;
}

export function connectionFilePaths(securityDir: string, clusterId: string): ConnectionFilePaths {
  const base = clusterId === '' ? 'ipcontroller' : `ipcontroller-${clusterId}`;
  return {
    clientFile: join(securityDir, `${base}-client.json`),
    engineFile: join(securityDir, `${base}-engine.json`),
  };
}

/** The two connection files of a controller with their contents. */
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

  /** Writes both files atomically, the client's first. Only their owner may read them. */
  async write(): Promise<void> {
    await replaceFile(this.clientFile, this.#texts.client);
    await replaceFile(this.engineFile, this.#texts.engine);
  }

  /** Removes both files, unless another controller has replaced them. */
  async remove(): Promise<void> {
    await removeUnchanged(this.clientFile, this.#texts.client);
    await removeUnchanged(this.engineFile, this.#texts.engine);
  }
}

/** Makes a directory that only its owner may enter, unless it exists. */
export async function makePrivateDirectory(path: string): Promise<void> {
  const created = await mkdir(path, { recursive: true, mode: 0o700 });
  if (created !== undefined) await chmod(path, 0o700);
}

async function replaceFile(path: string, text: string): Promise<void> {
  const temporaryPath = `${path}.${process.pid}.tmp`;
  // An existing file or link is removed first, because the key must not be written to a file that others can read.
  await rm(temporaryPath, { force: true });
  await writeFile(temporaryPath, text, { mode: 0o600, flag: 'wx' });
  await rename(temporaryPath, path);
}

async function removeUnchanged(path: string, text: string): Promise<void> {
  try {
    if ((await readFile(path, 'utf8')) === text) await rm(path);
  } catch {
    // The file does not exist, or belongs to another user.
  }
}
