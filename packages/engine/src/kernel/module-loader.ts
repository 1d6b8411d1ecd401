import { type Stats, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';

/** A task needs a module that this machine does not have. */
class ModuleNotFoundError extends Error {
  override readonly name = 'ModuleNotFoundError';
}

type Exports = Readonly<Record<string, unknown>>;

interface LoadedModule {
  /** Identifies a version of the file. */
  readonly stamp: string;
  readonly specifier: string;
}

const STAMP_PARAMETER = 'ipyparallel-js';

/**
 * Imports modules for calls. A module is imported once, and again after its file has changed (time or size). The modules
 * that it imports stay cached until the context is cleared.
 */
export class ModuleLoader {
  readonly #import: (specifier: string) => Promise<unknown>;
  readonly #loadedModules = new Map<string, LoadedModule>();

  /** `importer` imports relative to the current directory. */
  constructor(importer: (specifier: string) => Promise<unknown>) {
    this.#import = importer;
  }

  /**
   * Returns an exported function of a module.
   * @throws {ModuleNotFoundError} when this machine does not have the module.
   * @throws {TypeError} when the module exports no such function.
   */
  async importFunction(module: string, name: string): Promise<unknown> {
    const exports = await this.#load(module);
    const fn = Object.hasOwn(exports, name) ? exports[name] : undefined;
    if (typeof fn === 'function') return fn;
    const available = Object.keys(exports).filter((key) => typeof exports[key] === 'function');
    throw new TypeError(
      `${module} exports no function "${name}"${fn === undefined ? '' : `: "${name}" is ${inspect(fn, { depth: 0 })}`}; exported functions: ${available.length === 0 ? 'none' : available.join(', ')}`,
    );
  }

  async #load(module: string): Promise<Exports> {
    try {
      return (await this.#import(this.#specifier(module))) as Exports;
    } catch (error) {
      if (!isMissing(error) || module.startsWith('file:') || !error.message.includes(`'${module}'`))
        throw error;
      throw new ModuleNotFoundError(
        `the engine's machine (${hostname()}) cannot resolve package "${module}" from the engine's working directory ${process.cwd()}`,
        { cause: error },
      );
    }
  }

  #specifier(module: string): string {
    if (!module.startsWith('file:')) return module;
    const path = fileURLToPath(module);
    const { mtimeMs, size, ino } = fileStats(path);
    const stamp = `${mtimeMs}-${size}-${ino}`;
    const loaded = this.#loadedModules.get(module);
    if (loaded?.stamp === stamp) return loaded.specifier;
    // The first import uses the plain URL, so that other importers of the module share its instance.
    const specifier = loaded === undefined ? module : withStamp(module, stamp);
    // Node caches a CommonJS module by its path.
    if (loaded !== undefined) delete createRequire(path).cache[path];
    this.#loadedModules.set(module, { stamp, specifier });
    return specifier;
  }
}

function fileStats(path: string): Stats {
  try {
    return statSync(path);
  } catch (cause) {
    throw new ModuleNotFoundError(
      `the engine's machine (${hostname()}) cannot read ${path}: ${cause instanceof Error ? cause.message : String(cause)}; fromModule sends only the path, so the file must exist under the same path on the engine's machine`,
      { cause },
    );
  }
}

function withStamp(module: string, stamp: string): string {
  const url = new URL(module);
  url.searchParams.set(STAMP_PARAMETER, stamp);
  return url.href;
}

function isMissing(error: unknown): error is Error {
  return error instanceof Error && (error as { code?: unknown }).code === 'ERR_MODULE_NOT_FOUND';
}
