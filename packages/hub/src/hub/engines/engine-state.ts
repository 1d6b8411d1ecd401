import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Dict } from '@ipyparallel-js/protocol';
import { isDict } from '@ipyparallel-js/protocol/internal';
import type { Logger } from '@ipyparallel-js/wire';
import type { RegisteredEngine } from './engine-registry.js';

/** The registered engines, and the next free id. */
export interface EngineState {
  readonly engines: readonly RegisteredEngine[];
  readonly nextId: number;
}

/** The file in which a controller stores its registered engines, in the format of Python controllers. */
export class EngineStateFile {
  readonly #path: string;
  readonly #log: Logger;
  #unsavedState: EngineState | undefined;
  #writePromise: Promise<void> | undefined;

  constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
  }

  /** Reads the file. @returns undefined if it does not exist, or cannot be read, which is logged */
  async read(): Promise<EngineState | undefined> {
    try {
      return parse(JSON.parse(await readFile(this.#path, 'utf8')));
    } catch (error) {
      const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      if (!isMissing)
        this.#log.error(`cannot read the engines of the previous run from ${this.#path}`, error);
      return undefined;
    }
  }

  /** Writes the state asynchronously; a later state replaces one that is not written yet. */
  save(state: EngineState): void {
    this.#unsavedState = state;
    this.#writePromise ??= this.#write().finally(() => {
      this.#writePromise = undefined;
    });
  }

  /** Resolves when the last state is written. */
  async flush(): Promise<void> {
    await this.#writePromise;
  }

  /** Deletes the file: no later run will restore the engines. */
  async remove(): Promise<void> {
    this.#unsavedState = undefined;
    await this.#writePromise;
    await rm(this.#path, { force: true });
  }

  async #write(): Promise<void> {
    try {
      await mkdir(dirname(this.#path), { recursive: true });
      const temporaryPath = `${this.#path}.${process.pid}.tmp`;
      while (this.#unsavedState !== undefined) {
        const { engines, nextId } = this.#unsavedState;
        this.#unsavedState = undefined;
        const byId = Object.fromEntries(engines.map(({ id, uuid }) => [String(id), uuid]));
        await writeFile(temporaryPath, JSON.stringify({ engines: byId, next_id: nextId }), { mode: 0o600 });
        await rename(temporaryPath, this.#path);
      }
    } catch (error) {
      this.#log.warn(`cannot write the registered engines to ${this.#path}`, error);
    }
  }
}

function parse(value: unknown): EngineState {
  const { engines, next_id: nextId } = isDict(value) ? value : ({} as Dict);
  if (!isDict(engines)) throw new TypeError('the file has no object "engines"');
  const list = Object.entries(engines).map(([id, uuid]) => {
    if (!/^\d{1,9}$/.test(id) || typeof uuid !== 'string')
      throw new TypeError(`invalid engine ${JSON.stringify(id)}: ${JSON.stringify(uuid)}`);
    return { id: Number(id), uuid };
  });
  return { engines: list, nextId: Number.isSafeInteger(nextId) ? Number(nextId) : 0 };
}
