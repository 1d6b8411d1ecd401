import { type Dict, UsageError } from '@ipyparallel-js/protocol';
import { wireDependency } from './dependency.js';
import type { BalancedFlags, ViewFlags } from './view-flags.js';

/** What the metadata of every submission carries. */
export function labelled(metadata: Dict, { label }: ViewFlags): Dict {
  return label === undefined ? metadata : { ...metadata, label };
}

/** What the task scheduler is asked, as metadata; `targets` are uuids. */
export function schedulerMetadata(flags: BalancedFlags, targets: readonly string[], scheme: string): Dict {
  const { after, follow, dependencyTimeout = 0, retries = 0 } = flags;
  const asked = {
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
        `this controller's task scheduler is of the pure scheme, which knows no ${names.join(', ')}; start the controller with another one (--scheme=leastload)`,
      );
    }
  }
  return labelled(asked, flags);
}
