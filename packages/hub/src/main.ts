#!/usr/bin/env node
import { IpyparallelError, UsageError } from '@ipyparallel-js/protocol';
import { type CommandLine, parseCommandLine, usage } from './command-line.js';
import { Controller } from './controller.js';
import { createLogger } from './log.js';
import { VERSION } from './version.js';

/** How often it is checked whether the parent still lives, in ms. */
const PARENT_PERIOD = 500;

/** An end that takes longer than this is cut short, in ms: launchers give a controller three seconds. */
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
  const write = (line: string): void => {
    process.stderr.write(line);
  };
  const log = createLogger('controller', commandLine.options.logLevel ?? 'info', write);
  for (const argument of commandLine.ignored) log.warn(`${argument} has no effect here`);
  if (commandLine.workDir !== undefined) process.chdir(commandLine.workDir);
  // Whoever read our standard error may be gone before us.
  process.stderr.on('error', () => {});

  const controller = await Controller.start({ ...commandLine.options, writeLog: write });
  let ending = false;
  const end = (why: string): void => {
    if (ending) return;
    ending = true;
    log.info(`${why}; stopping`);
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), STOP_TIMEOUT).unref();
    void controller.stop();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGABRT'] as const) {
    process.on(signal, () => end(`received ${signal}`));
  }
  if (commandLine.parentPid !== undefined) watchParent(commandLine.parentPid, end);
  if (process.send !== undefined) {
    process.on('disconnect', () => end('the process that started this one is gone'));
    const { clientFile, engineFile } = controller;
    process.send({ type: 'ready', clientFile, engineFile });
  }
  await controller.closed;
}

function watchParent(pid: number, end: (why: string) => void): void {
  // A parent's pid can be given to another process once it is gone, but our ppid cannot lie.
  const isOurs = process.ppid === pid;
  const timer = setInterval(() => {
    if (isOurs ? process.ppid !== pid : !runs(pid)) end(`process ${pid} is gone`);
  }, PARENT_PERIOD);
  timer.unref();
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
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
