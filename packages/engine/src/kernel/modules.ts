import { type Stats, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';

/** A module that a task needs and this machine does not have. */
class ModuleNotFoundError extends Error {
  override readonly name = 'ModuleNotFoundError';
}

type Exports = Readonly<Record<string, unknown>>;

interface Loaded {
  /** Tells one state of the file from another. */
  readonly stamp: string;
  readonly specifier: string;
}

const STAMP_PARAMETER = 'ipyparallel-js';

/**
 * Imports modules for calls. A module is imported once; a file that has changed since (time or size) is imported anew,
 * while what it imports itself stays as it was until the context is cleared.
 */
export class ModuleLoader {
  readonly #import: (specifier: string) => Promise<unknown>;
  readonly #loaded = new Map<string, Loaded>();

  /** `importer` imports relative to the current directory. */
  constructor(importer: (specifier: string) => Promise<unknown>) {
    this.#import = importer;
  }

  /** The function that a module exports. @throws ModuleNotFoundError, TypeError when it exports no such function */
  async functionOf(module: string, name: string): Promise<unknown> {
    const exports = await this.#load(module);
    const fn = Object.hasOwn(exports, name) ? exports[name] : undefined;
    if (typeof fn === 'function') return fn;
    const there = Object.keys(exports).filter((key) => typeof exports[key] === 'function');
    throw new TypeError(
      `${module} exports no function "${name}"${fn === undefined ? '' : `, which is ${inspect(fn, { depth: 0 })}`}; functions there: ${there.length === 0 ? 'none' : there.join(', ')}`,
    );
  }

  async #load(module: string): Promise<Exports> {
    try {
      return (await this.#import(this.#specifier(module))) as Exports;
    } catch (error) {
      if (!isMissing(error) || module.startsWith('file:') || !error.message.includes(`'${module}'`))
        throw error;
      throw new ModuleNotFoundError(
        `the engine's machine (${hostname()}) has no package "${module}" to be found from the engine's working directory ${process.cwd()}`,
        { cause: error },
      );
    }
  }

  #specifier(module: string): string {
    if (!module.startsWith('file:')) return module;
    const path = fileURLToPath(module);
    const { mtimeMs, size, ino } = fileStats(path);
    const stamp = `${mtimeMs}-${size}-${ino}`;
    const before = this.#loaded.get(module);
    if (before?.stamp === stamp) return before.specifier;
    // The first time by its own name, so that others who import it have the same instance.
    const specifier = before === undefined ? module : stamped(module, stamp);
    // A CommonJS module is cached by its path.
    if (before !== undefined) delete createRequire(path).cache[path];
    this.#loaded.set(module, { stamp, specifier });
    return specifier;
  }
}

function fileStats(path: string): Stats {
  try {
    return statSync(path);
  } catch (cause) {
    throw new ModuleNotFoundError(
      `the engine's machine (${hostname()}) cannot read ${path}: ${cause instanceof Error ? cause.message : String(cause)}; fromModule names files as the client's machine has them`,
      { cause },
    );
  }
}

function stamped(module: string, stamp: string): string {
  const url = new URL(module);
  url.searchParams.set(STAMP_PARAMETER, stamp);
  return url.href;
}

function isMissing(error: unknown): error is Error {
  return error instanceof Error && (error as { code?: unknown }).code === 'ERR_MODULE_NOT_FOUND';
}
