import { type Dict, UsageError } from '@ipyparallel-js/protocol';
import { wireDependency } from './dependency.js';
import type { BalancedFlags, ViewFlags } from './view-flags.js';

/** Adds the label to the metadata of a submission. */
export function addLabel(metadata: Dict, { label }: ViewFlags): Dict {
  return label === undefined ? metadata : { ...metadata, label };
}

/** The metadata of a submission to the task scheduler; `targets` are uuids. */
export function schedulerMetadata(flags: BalancedFlags, targets: readonly string[], scheme: string): Dict {
  const { after, follow, dependencyTimeout = 0, retries = 0 } = flags;
  const metadata = {
    after: wireDependency(after),
    follow: wireDependency(follow),
    // The wire uses seconds.
    timeout: dependencyTimeout / 1000,
    retries,
    targets: [...targets],
  };
  if (scheme === 'pure') {
    const names = [
      after === undefined ? '' : 'after',
      follow === undefined ? '' : 'follow',
      dependencyTimeout === 0 ? '' : 'dependencyTimeout',
      retries === 0 ? '' : 'retries',
      targets.length === 0 ? '' : 'targets',
    ].filter((name) => name !== '');
    if (names.length > 0) {
      throw new UsageError(
        `this controller's task scheduler is of the pure scheme, which supports no ${names.join(', ')}; start the controller with another scheme (--scheme=leastload)`,
      );
    }
  }
  return addLabel(metadata, flags);
}
