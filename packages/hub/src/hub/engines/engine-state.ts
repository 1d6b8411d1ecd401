import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Dict } from '@ipyparallel-js/protocol';
import { isDict } from '@ipyparallel-js/protocol/internal';
import type { Logger } from '@ipyparallel-js/wire';
import type { RegisteredEngine } from './engine-registry.js';

/** Who was registered, and which id comes next. */
export interface EngineState {
  readonly engines: readonly RegisteredEngine[];
  readonly nextId: number;
}

/** The file in which a controller writes down its engines; a Python controller reads and writes the same. */
export class EngineStateFile {
  readonly #path: string;
  readonly #log: Logger;
  #next: EngineState | undefined;
  #writing: Promise<void> | undefined;

  constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
  }

  /** What the file says; undefined where there is none, or none that can be read, which is told. */
  async read(): Promise<EngineState | undefined> {
    try {
      return parse(JSON.parse(await readFile(this.#path, 'utf8')));
    } catch (error) {
      const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      if (!isMissing) this.#log.error(`the engines in ${this.#path} cannot be taken back`, error);
      return undefined;
    }
  }

  /** Writes soon; the last state counts. */
  save(state: EngineState): void {
    this.#next = state;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Resolves when nothing is left to be written. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  /** Once nobody will take the engines back. */
  async remove(): Promise<void> {
    this.#next = undefined;
    await this.#writing;
    await rm(this.#path, { force: true });
  }

  async #write(): Promise<void> {
    try {
      await mkdir(dirname(this.#path), { recursive: true });
      const draft = `${this.#path}.${process.pid}.tmp`;
      while (this.#next !== undefined) {
        const { engines, nextId } = this.#next;
        this.#next = undefined;
        const byId = Object.fromEntries(engines.map(({ id, uuid }) => [String(id), uuid]));
        await writeFile(draft, JSON.stringify({ engines: byId, next_id: nextId }), { mode: 0o600 });
        await rename(draft, this.#path);
      }
    } catch (error) {
      this.#log.warn(`the engines cannot be written down in ${this.#path}`, error);
    }
  }
}

function parse(value: unknown): EngineState {
  const { engines, next_id: nextId } = isDict(value) ? value : ({} as Dict);
  if (!isDict(engines)) throw new TypeError('it has no engines');
  const list = Object.entries(engines).map(([id, uuid]) => {
    if (!/^\d{1,9}$/.test(id) || typeof uuid !== 'string')
      throw new TypeError(`${JSON.stringify(id)} is no engine's id`);
    return { id: Number(id), uuid };
  });
  return { engines: list, nextId: Number.isSafeInteger(nextId) ? Number(nextId) : 0 };
}
