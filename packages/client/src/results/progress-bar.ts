import type { Writable } from 'node:stream';
import type { OptionNames } from '@ipyparallel-js/protocol/internal';
import type { Progress } from '../tasks/progress.js';

/** Options of progress bars. */
export interface ProgressBarOptions {
  /** `process.stderr` by default. */
  readonly stream?: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  /** The text before the bar; empty by default. */
  readonly label?: string;
  /** The name of the counted items; `tasks` by default. */
  readonly unit?: string;
}

export const PROGRESS_BAR_OPTIONS: OptionNames<ProgressBarOptions> = {
  stream: true,
  label: true,
  unit: true,
};

const BAR_WIDTH = 30;
const DEFAULT_COLUMNS = 80;

/** Shows progress: one line that is redrawn on a terminal, separate lines elsewhere. */
export class ProgressBar {
  readonly #stream: NonNullable<ProgressBarOptions['stream']>;
  readonly #label: string;
  readonly #unit: string;
  readonly #start = performance.now();
  #lastText = '';

  constructor({ stream = process.stderr, label = '', unit = 'tasks' }: ProgressBarOptions = {}) {
    this.#stream = stream;
    this.#label = label;
    this.#unit = unit;
  }

  /** Whether the stream is a terminal, where one line is redrawn. */
  get redraws(): boolean {
    return this.#stream.isTTY === true;
  }

  show(progress: Progress): void {
    if (!this.#stream.writable) return;
    const line = this.redraws ? this.#barOf(progress) : this.#lineOf(progress);
    // On other streams than terminals, a line is written only if the count has changed.
    const text = this.redraws ? line : `${progress.done}/${progress.total}`;
    if (text === this.#lastText) return;
    this.#lastText = text;
    this.#stream.write(this.redraws ? `\r${line}\u001b[K` : `${line}\n`);
  }

  /** Shows the final progress and ends the line. */
  close(progress: Progress): void {
    this.show(progress);
    if (this.redraws && this.#stream.writable) this.#stream.write('\n');
  }

  #barOf(progress: Progress): string {
    const { done, total } = progress;
    const full = total === 0 ? BAR_WIDTH : Math.floor((done / total) * BAR_WIDTH);
    const bar = `${'█'.repeat(full)}${'░'.repeat(BAR_WIDTH - full)}`;
    const line = `${this.#labelPrefix()}${bar} ${this.#countText(progress)}`;
    // A line that wraps could not be overwritten.
    return line.slice(0, Math.max(10, (this.#stream.columns ?? DEFAULT_COLUMNS) - 1));
  }

  #lineOf(progress: Progress): string {
    return `${this.#labelPrefix()}${this.#countText(progress)}`;
  }

  #labelPrefix(): string {
    return this.#label === '' ? '' : `${this.#label}: `;
  }

  #countText({ done, total, failed, aborted, purged, lost }: Progress): string {
    const percent = total === 0 ? 100 : Math.floor((done / total) * 100);
    const seconds = ((performance.now() - this.#start) / 1_000).toFixed(1);
    const bad = Object.entries({ failed, aborted, purged, lost })
      .filter(([, count]) => count > 0)
      .map(([name, count]) => `, ${count} ${name}`)
      .join('');
    return `${done}/${total} ${this.#unit} ${percent} % ${seconds} s${bad}`;
  }
}
