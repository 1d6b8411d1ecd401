import { parseArgs } from 'node:util';
import type { ClientOptions } from '@ipyparallel-js/client';
import { UsageError } from '@ipyparallel-js/protocol';

export const HELP = `npm start [-- OPTIONS]

Shows the main job from end to end: two clients submit tasks, one follows them live, asks the Task Database, fetches a
result of the other, submits again what failed and purges what is finished. Without options it starts a cluster of its
own, which needs nothing but Node, and removes it at the end. With options it uses a cluster that is running already,
Python's or ours, and touches no tasks there but its own.

  --profile NAME           the cluster of this IPython profile (ipcluster start --profile=NAME)
  --cluster-id ID          the one with this cluster id
  --connection-file FILE   the one of this ipcontroller-client.json
  --help                   this text
`;

/** What the command line asks for: a cluster of its own, a running one, or help. */
export type Request =
  | { readonly kind: 'embedded' }
  | { readonly kind: 'running'; readonly options: ClientOptions }
  | { readonly kind: 'help' };

/** @throws UsageError for an option that there is not */
export function parseCommandLine(args: readonly string[]): Request {
  const { profile, 'cluster-id': clusterId, 'connection-file': connectionFile, help } = valuesOf(args);
  if (help === true) return { kind: 'help' };
  const options: ClientOptions = {
    ...(profile === undefined ? {} : { profile }),
    ...(clusterId === undefined ? {} : { clusterId }),
    ...(connectionFile === undefined ? {} : { connectionFile }),
  };
  return Object.keys(options).length === 0 ? { kind: 'embedded' } : { kind: 'running', options };
}

function valuesOf(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        profile: { type: 'string' },
        'cluster-id': { type: 'string' },
        'connection-file': { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`${problem.split('. ')[0]} (npm start -- --help lists the options)`, { cause });
  }
}
