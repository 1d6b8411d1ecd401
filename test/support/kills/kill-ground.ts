// A cluster whose processes a test kills: its controller, which comes back on the same ports, and its engines.
import { readFileSync } from 'node:fs';

export interface KillGround extends AsyncDisposable {
  readonly connectionFile: string;
  readonly directory: string;
  /** SIGKILL to the engine with this id, and to nothing else; what runs beside it may tell the hub. */
  killEngine(id: number): Promise<void>;
  /** SIGKILL to the controller. */
  killController(): Promise<void>;
  /** Starts it anew, `--reuse --restore`; resolves when it answers. */
  restartController(): Promise<void>;
  /** Code that writes `name` into {@link runs}, sleeps, and has `name` as its result. */
  task(name: string, ms: number): string;
}

/** The file into which tasks write when they begin. */
export function runsFile(directory: string): string {
  return `${directory}/runs.txt`;
}

/** The names of the tasks that began so far, in that order; one that ran twice is there twice. */
export function runs({ directory }: KillGround): string[] {
  try {
    return readFileSync(runsFile(directory), 'utf8').split('\n').slice(0, -1);
  } catch {
    // No task has begun.
    return [];
  }
}
