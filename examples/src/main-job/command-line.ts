import { parseArgs } from 'node:util';
import type { ConnectOptions } from '@ipyparallel-js/client';
import { UsageError } from '@ipyparallel-js/protocol';

export const HELP = `npm start [-- OPTIONS]

Shows the main job from end to end: two clients submit tasks; one of them follows the tasks live, queries the Task
Database, reads a result of the other client, resubmits failed tasks and purges finished ones. Without options it starts
a temporary cluster, which requires only Node, and removes it at the end. With options it uses a running cluster, of
Python or of this project, and changes only its own tasks there.

  --profile NAME           use the cluster of this IPython profile (ipcluster start --profile=NAME)
  --cluster-id ID          use the cluster with this id
  --connection-file FILE   use the cluster of this ipcontroller-client.json
  --help                   print this text
`;

/** The parsed command line: a temporary cluster, a running one, or help. */
export type Request =
  | { readonly kind: 'embedded' }
  | { readonly kind: 'running'; readonly options: ConnectOptions }
  | { readonly kind: 'help' };

/** @throws {UsageError} when an option is unknown. */
export function parseCommandLine(args: readonly string[]): Request {
  const { profile, 'cluster-id': clusterId, 'connection-file': connectionFile, help } = valuesOf(args);
  if (help === true) return { kind: 'help' };
  const options: ConnectOptions = {
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
