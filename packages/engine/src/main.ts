#!/usr/bin/env node
import { UsageError } from '@ipyparallel-js/protocol';
import { VERSION } from './common/version.js';
import { Engine, type EngineEnd } from './engine.js';
import { type EngineArguments, HELP, parseEngineArguments } from './options/arguments.js';

/** The message that an engine forked with an IPC channel sends to its parent. */
export interface RegisteredNotice {
  readonly type: 'registered';
  readonly id: number;
  readonly uuid: string;
  readonly pid: number;
}

const WRONG_USAGE = 2;

const FAILED_ENDS: readonly EngineEnd['reason'][] = ['kernel-died', 'controller-lost'];

async function run(request: EngineArguments): Promise<number> {
  if (request.kind !== 'run') {
    process.stdout.write(request.kind === 'help' ? HELP : `${VERSION}\n`);
    return 0;
  }
  const abort = new AbortController();
  let engine: Engine | undefined;
  const stop = (): void => {
    abort.abort(new Error('stopped'));
    void engine?.stop();
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, stop);
  process.on('disconnect', stop);
  try {
    engine = await Engine.start({
      ...request.options,
      nodeArgs: process.execArgv.filter((arg) => !/^--?(inspect|debug|eval|e$|p$|print|watch)/.test(arg)),
      signal: abort.signal,
    });
  } catch (error) {
    if (abort.signal.aborted) return 0;
    throw error;
  }
  if (abort.signal.aborted) await engine.stop();
  const notice: RegisteredNotice = {
    type: 'registered',
    id: engine.id,
    uuid: engine.uuid,
    pid: process.pid,
  };
  process.send?.(notice, undefined, undefined, () => {});
  const { reason } = await engine.closed;
  return FAILED_ENDS.includes(reason) ? 1 : 0;
}

function readCommandLine(): EngineArguments {
  try {
    return parseEngineArguments(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`ippjs-engine: ${error.message}\n`);
    process.exit(WRONG_USAGE);
  }
}

try {
  process.exit(await run(readCommandLine()));
} catch (error) {
  process.stderr.write(
    `ippjs-engine: ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}\n`,
  );
  process.exit(1);
}
