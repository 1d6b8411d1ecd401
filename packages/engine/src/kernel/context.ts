import { Console } from 'node:console';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import vm from 'node:vm';
import type { EngineGlobal, TaskContext } from '@ipyparallel-js/protocol';
import { NO_TASK } from '@ipyparallel-js/protocol/internal';
import { IMPORT_NAME } from './dynamic-imports.js';
import type { OutputBatcher, StreamName } from './output-batcher.js';
import { withoutProcessWarnings } from './process-warnings.js';

/**
 * Defines the globals that scripts and called functions expect: `require`, imports, a console, `__name`, and
 * `ipyparallel` with the running task.
 */
export function installGlobals(
  output: OutputBatcher,
  importer: (specifier: string) => Promise<unknown>,
  currentTask: () => TaskContext,
): void {
  captureStream(process.stdout, 'stdout', output);
  captureStream(process.stderr, 'stderr', output);
  // Node's own console also stores logged values for an inspector that may connect.
  define('console', new Console({ stdout: process.stdout, stderr: process.stderr }));
  defineGetter('require', requireFromCwd());
  define(IMPORT_NAME, importer);
  const engine: EngineGlobal = Object.defineProperty({ task: NO_TASK }, 'task', { get: currentTask });
  define('ipyparallel', engine);
  // esbuild and tsx with keepNames wrap functions in calls of __name.
  define('__name', (target: object, value: string) =>
    Object.defineProperty(target, 'name', { value, configurable: true }),
  );
  // Hides the engine's IPC channel: libraries treat a process with send() as one of their own workers.
  Object.assign(process, { send: undefined, disconnect: undefined });
}

function define(name: string, value: unknown): void {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
}

function defineGetter<T>(name: string, get: () => T): void {
  Object.defineProperty(globalThis, name, {
    get,
    set: (value: unknown) => define(name, value),
    configurable: true,
    enumerable: false,
  });
}

/** Returns a getter of the `require` of a script in the current directory, also after `process.chdir()`. */
function requireFromCwd(): () => NodeJS.Require {
  let directory: string | undefined;
  let cached: NodeJS.Require | undefined;
  return () => {
    const cwd = process.cwd();
    if (cached === undefined || cwd !== directory) {
      directory = cwd;
      cached = createRequire(join(cwd, 'engine.js'));
    }
    return cached;
  };
}

/** Returns an `import()` relative to the current directory, as Node resolves it for scripts without a file name. */
export async function createImporter(): Promise<(specifier: string) => Promise<unknown>> {
  const script = new vm.Script('(specifier, options) => import(specifier, options)', {
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  const importer: (specifier: string) => Promise<unknown> = script.runInThisContext();
  // Node 20 warns at the first use that this loader is experimental.
  await withoutProcessWarnings(() => importer('node:path'));
  return importer;
}

type WriteCallback = (error?: Error | null) => void;

function captureStream(stream: NodeJS.WriteStream, name: StreamName, output: OutputBatcher): void {
  const decoder = new StringDecoder('utf8');
  stream.write = (
    chunk: Uint8Array | string,
    encoding?: BufferEncoding | WriteCallback,
    callback?: WriteCallback,
  ): boolean => {
    const bytes =
      typeof chunk === 'string' && typeof encoding === 'string' && !/^utf-?8$/i.test(encoding)
        ? Buffer.from(chunk, encoding)
        : chunk;
    output.write(name, typeof bytes === 'string' ? bytes : decoder.write(Buffer.from(bytes)));
    const done = typeof encoding === 'function' ? encoding : callback;
    if (done !== undefined) process.nextTick(done);
    return true;
  };
}
