import { UsageError } from '@ipyparallel-js/protocol';
import type { OptionNames } from '@ipyparallel-js/protocol/internal';
import { describe } from '@ipyparallel-js/protocol/internal';
import { WAIT_OPTIONS, type WaitOptions } from '@ipyparallel-js/wire';
import type { TaskMetadata, TaskOutput } from '../tasks/task-metadata.js';
import { OutputPrinter, STREAM_OUTPUT_OPTIONS, type StreamOutputOptions } from './stream-output.js';

/** Options of `displayOutputs`. */
export interface DisplayOutputsOptions extends StreamOutputOptions {
  /**
   * `type`, the default: the stdout of all tasks, then their stderr, their displayed output and their results;
   * `engine`: all output of one task after the other; `order`: as `type`, but the first displayed output of all tasks
   * before the second.
   */
  readonly groupBy?: 'type' | 'engine' | 'order';
  /** Prints the results only; false by default. */
  readonly resultOnly?: boolean;
}

/** @deprecated Use {@link DisplayOutputsOptions}. */
export type DisplayOptions = DisplayOutputsOptions;

export const DISPLAY_OUTPUTS_OPTIONS: OptionNames<DisplayOutputsOptions & WaitOptions> = {
  groupBy: true,
  resultOnly: true,
  ...STREAM_OUTPUT_OPTIONS,
  ...WAIT_OPTIONS,
};

/** Prints the output of tasks. Mirrors ipyparallel `AsyncResult.display_outputs`. */
export function displayOutputs(
  tasks: readonly TaskMetadata[],
  single: boolean,
  options: DisplayOutputsOptions,
): void {
  const { groupBy = 'type', resultOnly = false } = options;
  if (!['type', 'engine', 'order'].includes(groupBy))
    throw new UsageError(`groupBy must be 'type', 'engine' or 'order', got ${describe(groupBy)}`);
  const printer = new OutputPrinter(options, !single);
  const pieces = tasks.map((task) => piecesOf(task, resultOnly));
  if (groupBy === 'engine') {
    for (const [i, task] of tasks.entries())
      for (const group of pieces[i] ?? []) for (const piece of group) printer.print(task, piece);
    return;
  }
  for (let group = 0; group < GROUP_COUNT; group++) {
    const columns = pieces.map((groups) => groups[group] ?? []);
    if (groupBy === 'type') {
      for (const [i, task] of tasks.entries())
        for (const piece of columns[i] ?? []) printer.print(task, piece);
      continue;
    }
    const longest = columns.reduce((most, { length }) => Math.max(most, length), 0);
    for (let at = 0; at < longest; at++) {
      for (const [i, task] of tasks.entries()) {
        const piece = columns[i]?.[at];
        if (piece !== undefined) printer.print(task, piece);
      }
    }
  }
}

const GROUP_COUNT = 4;

function piecesOf(task: TaskMetadata, resultOnly: boolean): TaskOutput[][] {
  const result: TaskOutput[] =
    task.executeResult === null ? [] : [{ type: 'executeResult', content: task.executeResult }];
  if (resultOnly) return [[], [], [], result];
  return [
    [{ type: 'stdout', text: task.stdout }],
    [{ type: 'stderr', text: task.stderr }],
    task.outputs.map((content) => ({ type: 'displayData', content })),
    result,
  ];
}
