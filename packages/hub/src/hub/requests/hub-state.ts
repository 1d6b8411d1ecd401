import type { Selection, TaskDatabase } from '../../db/task-database.js';
import type { Schedulers } from '../../thread-link/schedulers.js';
import type { EngineRegistry } from '../engines/engine-registry.js';
import type { ChangeWriter } from '../recording/change-writer.js';
import type { TaskTracker } from '../recording/task-tracker.js';

/** Receives removals of task records. */
export interface RemovalListener {
  /** The removal waits for this. */
  beforeRemoval(selection: Selection): Promise<void>;
  onRemoved(msgIds: readonly string[]): void;
}

/** The parts of a hub that request handlers use. */
export interface HubState {
  readonly engines: EngineRegistry;
  readonly tracker: TaskTracker;
  readonly db: TaskDatabase;
  readonly writer: ChangeWriter;
  readonly schedulers: Schedulers;
  readonly subscriptions: RemovalListener;
  /** Identifies this run of the hub. */
  readonly epoch: string;
}
