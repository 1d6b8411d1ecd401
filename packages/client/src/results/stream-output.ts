import type { Writable } from 'node:stream';
import type { OptionNames } from '@ipyparallel-js/protocol/internal';
import type { Task } from '../tasks/task.js';
import { OutputPrinter } from './output-printer.js';

/** Where output goes. */
export interface OutputOptions {
  /** `process.stdout` by default. */
  readonly stdout?: Writable;
  /** `process.stderr` by default; the same as `stdout` if only that is given. */
  readonly stderr?: Writable;
}

export const OUTPUT_OPTIONS: OptionNames<OutputOptions> = { stdout: true, stderr: true };

/** Output that is being passed on; `stop()`, or the end of a `using` block, ends that. */
export interface OutputStream extends Disposable {
  /** Resolves when all output has come, or at `stop()`. */
  readonly done: Promise<void>;
  stop(): void;
}

/** Passes on the output of tasks as it comes, what there is already first; each task's under a line that names its engine. */
export function streamOutput(tasks: readonly Task[], single: boolean, options: OutputOptions): OutputStream {
  const printer = new OutputPrinter(options, !single);
  let finish = (): void => undefined;
  const done = new Promise<void>((resolve) => {
    finish = resolve;
  });
  let open = tasks.length;
  if (open === 0) finish();
  const subscriptions = tasks.map((task) =>
    task.output$.subscribe({
      next: (output) => printer.print(task.metadata, output),
      complete: () => {
        open--;
        if (open === 0) finish();
      },
    }),
  );
  const stop = (): void => {
    for (const subscription of subscriptions) subscription.unsubscribe();
    finish();
  };
  return { done, stop, [Symbol.dispose]: stop };
}
