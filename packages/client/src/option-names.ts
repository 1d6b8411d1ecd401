import type { PickleLimits } from '@ipyparallel-js/protocol';
import type { OptionNames } from '@ipyparallel-js/protocol/internal';
import type { WaitOptions } from '@ipyparallel-js/wire';
import type { CommandOptions, ShutdownOptions } from './engines/engine-commands.js';
import type { PurgeOptions, ResubmitOptions } from './hub/purge.js';
import type { ClientOptions } from './link/client-options.js';
import type { EnginesOptions } from './link/engine-progress.js';
import type { WatchOptions } from './live/watch-event.js';
import type { DbQueryOptions } from './query/query-options.js';
import type { GetOptions, InteractiveOptions, ReturnWhen } from './results/async-result.js';
import type { DisplayOptions } from './results/display-outputs.js';
import type { ProgressBarOptions } from './results/progress-bar.js';
import type { OutputOptions } from './results/stream-output.js';
import type { TimedeltaOptions } from './results/timing.js';
import type { ResultCacheLimits } from './tasks/result-cache.js';
import type { DependencyOptions } from './views/dependency.js';
import type { ScatterOptions } from './views/direct-view.js';
import type { LazyMapOptions } from './views/lazy-map.js';
import type { MapOptions } from './views/map-arguments.js';

// The names of the options that each public method takes, for `checkOptions`.

export const WAIT: OptionNames<WaitOptions> = { timeout: true, signal: true };

export const WAIT_WHEN: OptionNames<WaitOptions & { returnWhen?: ReturnWhen }> = {
  ...WAIT,
  returnWhen: true,
};

export const GET: OptionNames<GetOptions> = WAIT_WHEN;

export const GET_DICT: OptionNames<WaitOptions & { lists?: boolean }> = { ...WAIT, lists: true };

const PROGRESS_BAR: OptionNames<ProgressBarOptions> = { stream: true, label: true, unit: true };

export const WAIT_INTERACTIVE: OptionNames<InteractiveOptions> = {
  ...WAIT_WHEN,
  ...PROGRESS_BAR,
  interval: true,
};

export const WAIT_FOR_ENGINES: OptionNames<EnginesOptions> = { ...WAIT, ...PROGRESS_BAR, interactive: true };

export const STREAM_OUTPUT: OptionNames<OutputOptions> = { stdout: true, stderr: true };

export const DISPLAY_OUTPUTS: OptionNames<DisplayOptions & WaitOptions> = {
  groupBy: true,
  resultOnly: true,
  ...STREAM_OUTPUT,
  ...WAIT,
};

export const TIMEDELTA: OptionNames<TimedeltaOptions> = { startPick: true, endPick: true };

export const ATTACH: OptionNames<{ anyCluster?: boolean }> = { anyCluster: true };

export const COMMAND: OptionNames<CommandOptions> = { targets: true, ...WAIT };

export const SHUTDOWN: OptionNames<ShutdownOptions> = { hub: true, ...COMMAND };

export const QUEUE_STATUS: OptionNames<WaitOptions & { verbose?: boolean }> = { verbose: true, ...WAIT };

export const RESUBMIT: OptionNames<ResubmitOptions> = { restore: true, ...WAIT };

export const PURGE: OptionNames<PurgeOptions> = { dryRun: true, ...WAIT };

export const PURGE_LOCAL: OptionNames<Pick<CommandOptions, 'targets'>> = { targets: true };

export const DB_QUERY: OptionNames<DbQueryOptions<never>> = {
  keys: true,
  sort: true,
  skip: true,
  limit: true,
  ...WAIT,
};

export const WATCH: OptionNames<WatchOptions> = {
  after: true,
  pace: true,
  interval: true,
  slowInterval: true,
  signal: true,
};

export const MAP: OptionNames<MapOptions> = {
  chunksize: true,
  ordered: true,
  returnExceptions: true,
  label: true,
  dist: true,
};

export const IMAP: OptionNames<LazyMapOptions> = {
  maxOutstanding: true,
  chunksize: true,
  ordered: true,
  returnExceptions: true,
  label: true,
  signal: true,
};

export const SCATTER: OptionNames<ScatterOptions> = { dist: true, flatten: true };

export const GATHER: OptionNames<Pick<ScatterOptions, 'dist'>> = { dist: true };

export const DEPENDENCY: OptionNames<DependencyOptions> = { all: true, success: true, failure: true };

export const PICKLE_LIMITS: OptionNames<PickleLimits> = {
  maxDepth: true,
  maxOpcodes: true,
  maxMemoEntries: true,
  maxMemory: true,
  maxExpanded: true,
  maxIntegerBytes: true,
};

export const RESULT_CACHE: OptionNames<ResultCacheLimits> = { count: true, bytes: true };

export const CONNECT: OptionNames<ClientOptions> = {
  connectionFile: true,
  profile: true,
  clusterId: true,
  profileDir: true,
  ipythonDir: true,
  sshServer: true,
  sshKey: true,
  sshOptions: true,
  timeout: true,
  signal: true,
  requestTimeout: true,
  pollInterval: true,
  resultCache: true,
  pickleLimits: true,
  reconnectTimeout: true,
  heartbeatInterval: true,
  username: true,
};
