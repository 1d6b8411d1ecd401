import type { Writable } from 'node:stream';
import type { Dict } from '@ipyparallel-js/protocol';
import { getOwn, getOwnString, isDict } from '@ipyparallel-js/protocol/internal';
import type { TaskMetadata, TaskOutput } from '../tasks/task-metadata.js';
import type { OutputOptions } from './stream-output.js';

/** Prints output, under a line `[stdout:3]` whenever the stream or the engine changes. */
export class OutputPrinter {
  readonly #stdout: Writable;
  readonly #stderr: Writable;
  readonly #named: boolean;
  #last = '';
  #lineOpen = false;

  constructor({ stdout, stderr }: OutputOptions, named: boolean) {
    this.#stdout = stdout ?? process.stdout;
    this.#stderr = stderr ?? stdout ?? process.stderr;
    this.#named = named;
  }

  /** Prints a piece; published data has no text. */
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
    let lead = '';
    if (this.#named && label !== this.#last) lead = `${this.#lineOpen ? '\n' : ''}${label}\n`;
    this.#last = label;
    this.#lineOpen = !text.endsWith('\n');
    stream.write(lead + text);
  }
}

/** The plain text of displayed output, as one or several lines. */
function textOf(content: Dict): string {
  const data = getOwn(content, 'data');
  const text = isDict(data) ? getOwnString(data, 'text/plain') : undefined;
  return text === undefined || text === '' ? '' : `${text}\n`;
}
