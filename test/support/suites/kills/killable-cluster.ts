// A cluster whose controller and engines a test kills. The controller restarts on the same ports.
import { readFileSync } from 'node:fs';
import type { Gate } from '../../gate.js';

/** Changes for the next run of a controller. */
export interface RestartOptions {
  /** Whether the controller writes new connection files: other ports and keys, and no engines. */
  readonly newFiles?: boolean;
  /** Replaces the environment of the previous run. */
  readonly env?: NodeJS.ProcessEnv;
}

export interface KillableCluster extends AsyncDisposable {
  readonly connectionFile: string;
  readonly directory: string;
  /** Sends SIGKILL to the engine with this id only; its nanny may notify the hub. */
  killEngine(id: number): Promise<void>;
  /** Sends SIGKILL to the controller. */
  killController(): Promise<void>;
  /** Restarts the controller with `--reuse --restore`, or with new files; resolves when it replies. */
  restartController(options?: RestartOptions): Promise<void>;
  /** Starts another engine and returns its id. */
  startEngine(): Promise<number>;
  /** Whether a restarted controller has the records of its previous run, and its engines their tasks. */
  readonly keepsRecords: boolean;
  /** Code that writes `name` to {@link runs}, waits (in ms, or until the gate opens), writes it to {@link endings} and returns it. */
  task(name: string, until: number | Gate): string;
}

/** The file to which tasks write when they start and end. */
export function runsFile(directory: string): string {
  return `${directory}/runs.txt`;
}

/** The line that a task writes when it ends. */
export function endMarkOf(name: string): string {
  return `${END_MARK}${name}`;
}

const END_MARK = 'end of ';

/** The names of the tasks that have started, in order; a task that ran twice appears twice. */
export function runs({ directory }: KillableCluster): string[] {
  return linesIn(directory).filter((line) => !line.startsWith(END_MARK));
}

/** The names of the tasks that have ended. */
export function endings({ directory }: KillableCluster): string[] {
  return linesIn(directory)
    .filter((line) => line.startsWith(END_MARK))
    .map((line) => line.slice(END_MARK.length));
}

function linesIn(directory: string): string[] {
  try {
    return readFileSync(runsFile(directory), 'utf8').split('\n').slice(0, -1);
  } catch {
    // No task has started.
    return [];
  }
}
