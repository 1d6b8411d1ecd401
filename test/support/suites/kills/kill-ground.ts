// A cluster whose processes a test kills: its controller, which comes back on the same ports, and its engines.
import { readFileSync } from 'node:fs';

/** What is different in a controller's next life. */
export interface NewLife {
  /** Other ports and keys, and no engines: the connection files are written anew. */
  readonly anew?: boolean;
  /** Its environment in place of the one of the life before. */
  readonly env?: NodeJS.ProcessEnv;
}

export interface KillGround extends AsyncDisposable {
  readonly connectionFile: string;
  readonly directory: string;
  /** SIGKILL to the engine with this id, and to nothing else; what runs beside it may tell the hub. */
  killEngine(id: number): Promise<void>;
  /** SIGKILL to the controller. */
  killController(): Promise<void>;
  /** Starts it anew, `--reuse --restore`, or as one that knows nothing of the one before; resolves when it answers. */
  restartController(as?: NewLife): Promise<void>;
  /** Starts one more engine; gives its id. */
  startEngine(): Promise<number>;
  /** Whether a controller that comes back has the records of the one before, and its engines their tasks. */
  readonly remembers: boolean;
  /** Code that writes `name` into {@link runs}, sleeps, writes it into {@link endings}, and has it as its result. */
  task(name: string, ms: number): string;
}

/** The file into which tasks write when they begin, and when they end. */
export function runsFile(directory: string): string {
  return `${directory}/runs.txt`;
}

/** What a task writes when it ends. */
export function ending(name: string): string {
  return `${END}${name}`;
}

const END = 'end of ';

/** The names of the tasks that began so far, in that order; one that ran twice is there twice. */
export function runs({ directory }: KillGround): string[] {
  return lines(directory).filter((line) => !line.startsWith(END));
}

/** The names of the tasks that have ended so far. */
export function endings({ directory }: KillGround): string[] {
  return lines(directory)
    .filter((line) => line.startsWith(END))
    .map((line) => line.slice(END.length));
}

function lines(directory: string): string[] {
  try {
    return readFileSync(runsFile(directory), 'utf8').split('\n').slice(0, -1);
  } catch {
    // No task has begun.
    return [];
  }
}
