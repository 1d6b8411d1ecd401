import { Console } from 'node:console';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import vm from 'node:vm';
import type { EngineGlobal, TaskContext } from '@ipyparallel-js/protocol';
import { NO_TASK } from '@ipyparallel-js/protocol/internal';
import { IMPORT_NAME } from './imports.js';
import type { OutputBatcher, StreamName } from './output.js';
import { quietly } from './process-warnings.js';

/**
 * Gives the global object what scripts and called functions expect: `require`, imports, a console, `__name`, and
 * `ipyparallel` with the running task.
 */
export function furnishContext(
  output: OutputBatcher,
  importer: (specifier: string) => Promise<unknown>,
  currentTask: () => TaskContext,
): void {
  captureStream(process.stdout, 'stdout', output);
  captureStream(process.stderr, 'stderr', output);
  // Node's own console also keeps what it logged for an inspector that might ask.
  define('console', new Console({ stdout: process.stdout, stderr: process.stderr }));
  defineGetter('require', requireFromHere());
  define(IMPORT_NAME, importer);
  const engine: EngineGlobal = Object.defineProperty({ task: NO_TASK }, 'task', { get: currentTask });
  define('ipyparallel', engine);
  // esbuild and tsx with keepNames wrap functions in calls of __name.
  define('__name', (target: object, value: string) =>
    Object.defineProperty(target, 'name', { value, configurable: true }),
  );
  // The channel to the engine is not the code's: libraries take a process with send() for a worker of theirs.
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

/** `require` as a script in the current directory has it, also after `process.chdir()`. */
function requireFromHere(): () => NodeJS.Require {
  let directory: string | undefined;
  let found: NodeJS.Require | undefined;
  return () => {
    const here = process.cwd();
    if (found === undefined || here !== directory) {
      directory = here;
      found = createRequire(join(here, 'engine.js'));
    }
    return found;
  };
}

/** `import()` relative to the current directory: Node resolves so for scripts without a file name. */
export async function importFromHere(): Promise<(specifier: string) => Promise<unknown>> {
  const script = new vm.Script('(specifier, options) => import(specifier, options)', {
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  const importer: (specifier: string) => Promise<unknown> = script.runInThisContext();
  // Node 20 calls this loader experimental at its first use.
  await quietly(() => importer('node:path'));
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
