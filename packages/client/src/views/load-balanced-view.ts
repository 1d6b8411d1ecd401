import { UsageError } from '@ipyparallel-js/protocol';
import type { Targets } from '../engines/targets.js';
import { AsyncMapResult } from '../results/async-map-result.js';
import { AsyncResult } from '../results/async-result.js';
import type { Task } from '../tasks/task.js';
import type { ImapOptions, LazyMap } from './lazy-map.js';
import { checkCount, type MapOptions } from './map-arguments.js';
import { part, toSliceables } from './partition.js';
import { View } from './view.js';
import type { ViewParts } from './view-context.js';
import { type BalancedFlags, withDependencyTimeout } from './view-flags.js';
import type { MapResult, ViewResult } from './view-result.js';
import { type Callable, type Work, type WorkFor, workOfCall, workOfEach } from './work.js';

const FLAGS = ['targets', 'label', 'language', 'retries', 'after', 'follow', 'dependencyTimeout', 'timeout'];

/** Runs work on engines that the task scheduler chooses. Mirrors ipyparallel `LoadBalancedView`. */
export class LoadBalancedView extends View<number, BalancedFlags> {
  /** @internal Created by `Client.loadBalancedView`. */
  constructor(parts: ViewParts<BalancedFlags>) {
    const flags = parts.context.targets.withResolvedTargets(withDependencyTimeout(parts.flags));
    super({ ...parts, flags }, FLAGS);
  }

  /** The engines among which the scheduler chooses. */
  override get targets(): Targets {
    return this.flags.targets ?? 'all';
  }

  /** How often a failed task is retried. */
  get retries(): number {
    return this.flags.retries ?? 0;
  }

  /** The tasks that must succeed before a task runs. */
  get after(): BalancedFlags['after'] {
    return this.flags.after;
  }

  /** The tasks on whose engine a task must run. */
  get follow(): BalancedFlags['follow'] {
    return this.flags.follow;
  }

  /** How long tasks may wait for their dependencies, in ms; 0 means indefinitely. */
  get dependencyTimeout(): number {
    return this.flags.dependencyTimeout ?? 0;
  }

  /** Python's name for `dependencyTimeout`. */
  get timeout(): number {
    return this.dependencyTimeout;
  }

  override setFlags(flags: Partial<BalancedFlags>): this {
    return super.setFlags(withDependencyTimeout(this.context.targets.withResolvedTargets(flags)));
  }

  /** Returns a view with other flags, for one or many calls. */
  with(flags: BalancedFlags): LoadBalancedView {
    return new LoadBalancedView(this.derivedParts({ ...this.flags, ...withDependencyTimeout(flags) }));
  }

  /** @internal */
  protected override submit<R>(work: WorkFor, flags: Partial<BalancedFlags> = {}): ViewResult<number, R> {
    return new AsyncResult<R, R>(
      [this.#submitOne(work, { ...this.flags, ...withDependencyTimeout(flags) })],
      { single: true },
    );
  }

  /** @internal */
  protected override mapParts<R>(
    fn: Callable,
    sequences: readonly Iterable<unknown>[],
    options: MapOptions,
    mapping: boolean,
  ): MapResult<R> {
    if (options.dist === 'roundRobin') {
      throw new UsageError(
        "dist must be 'block' on a load-balanced view; use a direct view for 'roundRobin'",
      );
    }
    const chunksize = checkCount(options.chunksize ?? 1, 1, 'chunksize');
    const { sliceables, length } = toSliceables(sequences, mapping);
    const count = Math.ceil(length / chunksize);
    const workAt = (i: number): Work => {
      // As in Python, chunks have similar sizes: 5 elements with a chunksize of 3 form chunks of 3 and 2.
      const parts = sliceables.map((sliceable) => part(sliceable, i, count, 'block').value);
      return mapping ? workOfEach(fn, parts) : workOfCall(fn, parts);
    };
    const flags = this.flagsWithLabel(options);
    const tasks = this.context.submitter.eachToScheduler(count, workAt, flags);
    this.remember(tasks);
    return new AsyncMapResult<R>(tasks, {
      kind: 'flatten',
      ...(mapping ? { sizes: sizesOf(length, count) } : {}),
      ordered: options.ordered ?? true,
      returnErrors: options.returnExceptions ?? false,
    });
  }

  /** @internal */
  protected override lazyMap(
    fn: Callable,
    sequences: readonly (Iterable<unknown> | AsyncIterable<unknown>)[],
    options: ImapOptions,
  ): LazyMap<unknown> {
    return this.lazyMapOf(sequences, options, (chunk, flags) =>
      this.#submitOne(workOfEach(fn, chunk), flags),
    );
  }

  #submitOne(work: WorkFor, flags: BalancedFlags): Task {
    if (typeof work === 'function')
      throw new UsageError(
        'the task scheduler cannot run work that depends on the language of its engine; use a direct view',
      );
    const task = this.context.submitter.toScheduler(work, flags);
    this.remember([task]);
    return task;
  }
}

/** The size of each part of a block distribution. */
function sizesOf(length: number, parts: number): number[] {
  return Array.from({ length: parts }, (_, i) => Math.floor(length / parts) + (i < length % parts ? 1 : 0));
}
