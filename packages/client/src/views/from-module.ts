import { createRequire } from 'node:module';
import { isAbsolute, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type AnyFunction, UsageError } from '@ipyparallel-js/protocol';
import { describe, withRecipe } from '@ipyparallel-js/protocol/internal';

/**
 * Creates a function from a module that engines import: `fromModule(new URL('./work.js', import.meta.url), 'resize')`,
 * or `fromModule('./work.js', 'resize', import.meta.url)`. A path without a base is resolved against the current
 * directory of this process; a package name (`lodash-es`, `node:os`) is resolved on the engine, from its working
 * directory. Its type is `fromModule<typeof import('./work.js').resize>(…)`. A local call imports the module locally.
 * @throws {UsageError} when the module or the export name is invalid
 */
export function fromModule<F extends AnyFunction = (...args: unknown[]) => unknown>(
  module: string | URL,
  name: string,
  base?: string | URL,
): (...args: Parameters<F>) => Promise<Awaited<ReturnType<F>>> {
  if (typeof name !== 'string' || name === '')
    throw new UsageError(`the export name of fromModule must be a non-empty string, got ${describe(name)}`);
  const specifier = resolveModule(module, base);
  const callLocally = async (...args: Parameters<F>): Promise<Awaited<ReturnType<F>>> => {
    const exports = (await import(resolveSpecifier(specifier))) as Record<string, unknown>;
    const fn = exports[name];
    if (typeof fn !== 'function') throw new UsageError(`${specifier} exports no function "${name}"`);
    return (await (fn as F)(...args)) as Awaited<ReturnType<F>>;
  };
  Object.defineProperty(callLocally, 'name', { value: name, configurable: true });
  return withRecipe(callLocally, { kind: 'module', module: specifier, name });
}

/** Returns a `file:` URL for a path, and the specifier itself for a package. */
function resolveModule(module: string | URL, base: string | URL | undefined): string {
  const text = String(module);
  if (text === '')
    throw new UsageError(
      'the module of fromModule must be a path, a URL or a package name, got an empty string',
    );
  if (module instanceof URL || /^(file|data|node):/.test(text)) return checkUrl(text);
  if (/^\.\.?([/\\]|$)/.test(text)) {
    if (base === undefined) return pathToFileURL(resolve(text)).href;
    const from = baseUrl(base);
    if (!URL.canParse(text, from))
      throw new UsageError(`${from} cannot be the base of ${text}; pass import.meta.url`);
    return checkUrl(new URL(text, from).href);
  }
  if (isAbsolute(text)) return pathToFileURL(text).href;
  if (URL.canParse(text)) return checkUrl(text);
  return text;
}

/** Resolves a package from the current directory, as an engine does. */
function resolveSpecifier(specifier: string): string {
  if (/^(file|data|node):/.test(specifier)) return specifier;
  const path = createRequire(resolve('program.js')).resolve(specifier);
  return isAbsolute(path) ? pathToFileURL(path).href : path;
}

/** A base may be a module's URL or its path. */
function baseUrl(base: string | URL): string {
  const text = String(base);
  return isAbsolute(text) ? pathToFileURL(text).href : text;
}

function checkUrl(url: string): string {
  const { protocol } = new URL(url);
  if (protocol === 'file:') {
    // Node would reject an invalid file URL only at the import, on the engine.
    fileURLToPath(url);
    return url;
  }
  if (protocol === 'data:' || protocol === 'node:') return url;
  throw new UsageError(`an engine can import files, packages, data: and node: only, got ${url}`);
}
