import type { CommandOptions, EngineCommands, ShutdownOptions } from '../engines/engine-commands.js';
import type { EngineRegistry } from '../engines/engine-registry.js';
import type { TargetFinder } from '../engines/targets.js';
import type { HubProfile } from '../hub/hub-profile.js';
import type { ResultFinder } from '../results/result-finder.js';
import type { Submitter } from './submitter.js';
import type { ViewFlags } from './view-flags.js';
import type { ViewHistory } from './view-history.js';

/** The client of a view. client.ts declares that it is a `Client`, which views/ must not import. */
// biome-ignore lint/suspicious/noEmptyInterface: client.ts adds the members.
export interface ViewClient {}

/** Purges tasks by id, or all tasks, at the hub and in the client; with `targets` also the tasks of these engines. */
interface TaskPurge {
  purgeEverywhere(msgIds: readonly string[] | 'all', options: CommandOptions): Promise<void>;
}

/** The parts of a client that its views use: the same objects that the client uses. */
export interface ViewContext {
  readonly registry: EngineRegistry;
  readonly targets: TargetFinder;
  readonly submitter: Submitter;
  readonly commands: EngineCommands;
  readonly results: ResultFinder;
  readonly taskActions: TaskPurge;
  readonly profile: HubProfile;
  shutdown(options: ShutdownOptions): Promise<void>;
}

/** The arguments of a view's constructor. */
export interface ViewParts<F extends ViewFlags> {
  readonly client: ViewClient;
  readonly context: ViewContext;
  readonly flags: F;
  /** Shared by a view and the views derived from it. */
  readonly history?: ViewHistory;
}
