#!/usr/bin/env node
import { IpyparallelError, UsageError } from '@ipyparallel-js/protocol';
import { createLogger, stderrSink, watchParent } from '@ipyparallel-js/wire';
import { VERSION } from './common/version.js';
import { Controller } from './controller.js';
import { type CommandLine, parseCommandLine, usage } from './options/command-line.js';

/** How long a stop may take before this process kills itself, in ms; launchers wait three seconds for a controller. */
const STOP_TIMEOUT = 2500;

function readCommandLine(): CommandLine {
  try {
    return parseCommandLine(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`ippjs-controller: ${error.message}\n`);
    process.exit(2);
  }
}

async function serve(commandLine: CommandLine): Promise<void> {
  const sink = stderrSink('controller');
  const log = createLogger(commandLine.options.logLevel ?? 'info', sink);
  for (const argument of commandLine.ignoredArguments)
    log.warn(`ignored the argument ${argument}, which has no effect`);
  if (commandLine.workDir !== undefined) process.chdir(commandLine.workDir);
  // The reader of standard error may end before this process.
  process.stderr.on('error', () => {});

  let controller: Controller | undefined;
  let stopping = false;
  // A signal during the start also stops the controller, which would otherwise leave its connection files.
  const stop = (reason: string): void => {
    if (stopping) return;
    stopping = true;
    log.info(`${reason}; stopping`);
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), STOP_TIMEOUT).unref();
    void controller?.stop();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGABRT'] as const) {
    process.on(signal, () => stop(`received ${signal}`));
  }
  const { parentPid } = commandLine;
  if (parentPid !== undefined) watchParent(parentPid, () => stop(`process ${parentPid} has ended`));
  if (process.send !== undefined) process.on('disconnect', () => stop('the parent process has ended'));
  controller = await Controller.start({ ...commandLine.options, log: sink });
  if (stopping) await controller.stop();
  const { clientFile, engineFile } = controller;
  process.send?.({ type: 'ready', clientFile, engineFile }, undefined, undefined, () => undefined);
  await controller.closed;
}

const commandLine = readCommandLine();
if (commandLine.print === 'help') {
  process.stdout.write(usage());
} else if (commandLine.print === 'version') {
  process.stdout.write(`${VERSION}\n`);
} else {
  try {
    await serve(commandLine);
    process.exit(0);
  } catch (error) {
    const text =
      error instanceof IpyparallelError ? error.message : error instanceof Error ? error.stack : error;
    process.stderr.write(`ippjs-controller: ${String(text)}\n`);
    process.exit(1);
  }
}
