import type { EngineInfo } from '../engines/engine-registry.js';
import type { Targets } from '../engines/targets.js';
import type { Task } from '../tasks/task.js';
import type { ExecuteReply } from '../tasks/task-outcome.js';
import { DirectView } from './direct-view.js';
import type { ExecuteOptions } from './view-calls.js';
import type { ViewParts } from './view-context.js';
import type { BroadcastFlags } from './view-flags.js';
import type { ViewResult } from './view-result.js';
import { executeWork, type WorkFor } from './work.js';

const FLAGS = ['targets', 'label', 'language', 'coalescing'];

/**
 * Runs the same work on many engines with one message through the broadcast scheduler. Work that differs by engine
 * (`map`, `scatter`) and `gather` are sent to each engine directly. Mirrors ipyparallel `BroadcastView`.
 */
export class BroadcastView<T extends Targets = Targets> extends DirectView<T> {
  /** @internal Created by `Client.broadcastView`. */
  constructor(parts: ViewParts<BroadcastFlags<T>>) {
    super(parts, FLAGS);
  }

  /**
   * Whether the scheduler combines the replies into one. Then no result is available before the slowest engine has
   * replied, and one failure fails all tasks. JavaScript work on a stock controller always has separate replies. Mirrors
   * ipyparallel `is_coalescing`.
   */
  get isCoalescing(): boolean {
    return this.flags.coalescing ?? false;
  }

  override with<const N extends Targets = T>(flags: BroadcastFlags<N>): BroadcastView<N> {
    return new BroadcastView<N>(this.derivedParts({ ...this.flags, ...flags } as BroadcastFlags<N>));
  }

  /** Executes code on each engine. The replies are never combined, because each has its own output. */
  override execute(code: string, options: ExecuteOptions = {}): ViewResult<T, ExecuteReply> {
    const { silent, ...flags } = this.executeOptions(options);
    return this.submit(executeWork(code, { silent: silent === true }), { ...flags, coalescing: false });
  }

  /** @internal */
  protected override send(engines: readonly EngineInfo[], work: WorkFor, flags: BroadcastFlags<T>): Task[] {
    return this.context.submitter.broadcast(engines, work, {
      ...flags,
      inOrder: this.context.profile.isOurs,
    });
  }
}
