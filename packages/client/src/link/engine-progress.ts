import type { OptionNames } from '@ipyparallel-js/protocol/internal';
import { WAIT_OPTIONS, type WaitOptions } from '@ipyparallel-js/wire';
import type { Observable } from 'rxjs';
import type { EngineInfo } from '../engines/engine-registry.js';
import { PROGRESS_BAR_OPTIONS, ProgressBar, type ProgressBarOptions } from '../results/progress-bar.js';

/** Options of `waitForEngines`. */
export interface WaitForEnginesOptions extends WaitOptions, ProgressBarOptions {
  /** Shows the number of engines: as a bar on a terminal, else as a line for each change; false by default. */
  readonly interactive?: boolean;
}

/** @deprecated Use {@link WaitForEnginesOptions}. */
export type EnginesOptions = WaitForEnginesOptions;

export const WAIT_FOR_ENGINES_OPTIONS: OptionNames<WaitForEnginesOptions> = {
  ...WAIT_OPTIONS,
  ...PROGRESS_BAR_OPTIONS,
  interactive: true,
};

/** Shows how many of `n` engines are registered until the returned function is called. */
export function showEngines(
  engines$: Observable<readonly EngineInfo[]>,
  n: number,
  options: ProgressBarOptions,
): () => void {
  const bar = new ProgressBar({ unit: 'engines', ...options });
  let done = 0;
  const progress = () => ({ total: n, done, completed: done, failed: 0, aborted: 0, purged: 0, lost: 0 });
  const subscription = engines$.subscribe((engines) => {
    done = Math.min(engines.length, n);
    bar.show(progress());
  });
  return () => {
    subscription.unsubscribe();
    bar.close(progress());
  };
}
