import type { Writable } from 'node:stream';
import type { Dict } from '@ipyparallel-js/protocol';
import type { OptionNames } from '@ipyparallel-js/protocol/internal';
import { getOwn, getOwnString, isDict } from '@ipyparallel-js/protocol/internal';
import type { Task } from '../tasks/task.js';
import type { TaskMetadata, TaskOutput } from '../tasks/task-metadata.js';

/** The streams to which output is written. */
export interface StreamOutputOptions {
  /** `process.stdout` by default. */
  readonly stdout?: Writable;
  /** `process.stderr` by default; `stdout` if only that is given. */
  readonly stderr?: Writable;
}

/** @deprecated Use {@link StreamOutputOptions}. */
export type OutputOptions = StreamOutputOptions;

export const STREAM_OUTPUT_OPTIONS: OptionNames<StreamOutputOptions> = { stdout: true, stderr: true };

/** Output that is being streamed, until `stop()` or the end of a `using` block. */
export interface OutputStream extends Disposable {
  /** Resolves when all output has arrived, or at `stop()`. */
  readonly done: Promise<void>;
  stop(): void;
}

/** Streams the output of tasks, existing output first. A line names the engine whenever it changes. */
export function streamOutput(
  tasks: readonly Task[],
  single: boolean,
  options: StreamOutputOptions,
): OutputStream {
  const printer = new OutputPrinter(options, !single);
  let finish = (): void => undefined;
  const done = new Promise<void>((resolve) => {
    finish = resolve;
  });
  let openCount = tasks.length;
  if (openCount === 0) finish();
  const subscriptions = tasks.map((task) =>
    task.output$.subscribe({
      next: (output) => printer.print(task.metadata, output),
      complete: () => {
        openCount--;
        if (openCount === 0) finish();
      },
    }),
  );
  const stop = (): void => {
    for (const subscription of subscriptions) subscription.unsubscribe();
    finish();
  };
  return { done, stop, [Symbol.dispose]: stop };
}

/** Prints output, with a line such as `[stdout:3]` whenever the stream or the engine changes. */
export class OutputPrinter {
  readonly #stdout: Writable;
  readonly #stderr: Writable;
  readonly #printsLabels: boolean;
  #lastLabel = '';
  #isLineOpen = false;

  constructor({ stdout, stderr }: StreamOutputOptions, printsLabels: boolean) {
    this.#stdout = stdout ?? process.stdout;
    this.#stderr = stderr ?? stdout ?? process.stderr;
    this.#printsLabels = printsLabels;
  }

  /** Prints a piece of output. Published data has no text and is not printed. */
  print(task: Pick<TaskMetadata, 'engineId' | 'engineUuid'>, output: TaskOutput): void {
    const engine = task.engineId ?? task.engineUuid ?? '?';
    switch (output.type) {
      case 'stdout':
        this.#write(this.#stdout, `[stdout:${engine}]`, output.text);
        break;
      case 'stderr':
        this.#write(this.#stderr, `[stderr:${engine}]`, output.text);
        break;
      case 'displayData':
      case 'executeResult':
        this.#write(this.#stdout, `[output:${engine}]`, textOf(output.content));
        break;
      case 'error':
        this.#write(this.#stderr, `[error:${engine}]`, `${output.error.message}\n`);
        break;
      case 'data':
    }
  }

  #write(stream: Writable, label: string, text: string): void {
    if (text === '' || !stream.writable) return;
    let prefix = '';
    if (this.#printsLabels && label !== this.#lastLabel) prefix = `${this.#isLineOpen ? '\n' : ''}${label}\n`;
    this.#lastLabel = label;
    this.#isLineOpen = !text.endsWith('\n');
    stream.write(prefix + text);
  }
}

/** The plain text of displayed output, with a line break at its end. */
function textOf(content: Dict): string {
  const data = getOwn(content, 'data');
  const text = isDict(data) ? getOwnString(data, 'text/plain') : undefined;
  return text === undefined || text === '' ? '' : `${text}\n`;
}
