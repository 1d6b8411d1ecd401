import { type NdArray, type TypedArray, UsageError } from '@ipyparallel-js/protocol';
import { checkOptions, type OptionNames } from '@ipyparallel-js/protocol/internal';
import { WAIT_OPTIONS, type WaitOptions } from '@ipyparallel-js/wire';
import type { EngineInfo } from '../engines/engine-registry.js';
import type { Targets } from '../engines/targets.js';
import { AsyncMapResult } from '../results/async-map-result.js';
import { AsyncResult } from '../results/async-result.js';
import type { Task } from '../tasks/task.js';
import type { ImapOptions, LazyMap } from './lazy-map.js';
import type { MapOptions } from './map-arguments.js';
import { pullWork, pushWork } from './namespace-work.js';
import { checkDistribution, type Distribution, part, toSliceable, toSliceables } from './partition.js';
import { View } from './view.js';
import type { ViewParts } from './view-context.js';
import type { BroadcastFlags, DirectFlags } from './view-flags.js';
import type { MapResult, PerTarget, ViewResult } from './view-result.js';
import { type Callable, type WorkFor, workOfCall, workOfEach } from './work.js';

/** Values by their names on the engines. */
export type Namespace = Readonly<Record<string, unknown>>;

/** Options of `scatter`. */
export interface ScatterOptions {
  /** How elements are distributed; `block` by default. */
  readonly dist?: Distribution;
  /** Sends a part of one element as that element, not as a list; false by default. */
  readonly flatten?: boolean;
}

const SCATTER_OPTIONS: OptionNames<ScatterOptions> = { dist: true, flatten: true };

const GATHER_OPTIONS: OptionNames<Pick<ScatterOptions, 'dist'>> = { dist: true };

/** The value of `gather`: a list, a typed array (from JavaScript engines) or a numpy array (from Python engines). */
export type Gathered<E = unknown> = E[] | TypedArray | NdArray;

/** The item type of an iterable. */
export type ItemOf<W> = W extends Iterable<infer E> ? E : never;

const FLAGS = ['targets', 'label', 'language'];

/** Runs work on chosen engines. Mirrors ipyparallel `DirectView`. */
export class DirectView<T extends Targets = Targets> extends View<T, BroadcastFlags<T>> {
  /** @internal Created by `Client.directView`. */
  constructor(parts: ViewParts<BroadcastFlags<T>>, names: readonly string[] = FLAGS) {
    super({ ...parts, flags: parts.context.targets.withResolvedTargets(parts.flags) }, names);
  }

  override get targets(): T {
    return (this.flags.targets ?? 'all') as T;
  }

  override setFlags(flags: Partial<BroadcastFlags<T>>): this {
    return super.setFlags(this.context.targets.withResolvedTargets(flags));
  }

  /** Returns a view with other flags, which may include other engines, for one or many calls. */
  with<const N extends Targets = T>(flags: DirectFlags<N>): DirectView<N> {
    return new DirectView<N>(this.derivedParts({ ...this.flags, ...flags } as BroadcastFlags<N>));
  }

  /**
   * Assigns values to names on each engine, of any language; a name may be a path to a property, such as `a.b`. Mirrors
   * ipyparallel `DirectView.push`.
   * @throws {UsageError} when a value cannot be sent
   */
  push(values: Namespace): ViewResult<T, null> {
    if (typeof values !== 'object' || values === null || Array.isArray(values)) {
      throw new UsageError(
        `the values of push must be an object of values by name, got ${values === null ? 'null' : Array.isArray(values) ? 'a list' : typeof values}`,
      );
    }
    return this.submit(pushWork(values));
  }

  /** Python's name for {@link push}. Mirrors ipyparallel `DirectView.update`. */
  update(values: Namespace): ViewResult<T, null> {
    return this.push(values);
  }

  /**
   * Evaluates a name or an expression on each engine: one value for a string, a list for a list of names.
   * Mirrors ipyparallel `DirectView.pull`.
   */
  pull<R = unknown>(name: string): ViewResult<T, R>;
  pull<R extends readonly unknown[] = unknown[]>(names: readonly string[]): ViewResult<T, R>;
  pull(names: string | readonly string[]): ViewResult<T, unknown> {
    return this.submit(pullWork(names));
  }

  /** Calls {@link pull} and returns a promise of the values. Mirrors ipyparallel `DirectView.get`. */
  get<R = unknown>(name: string): Promise<PerTarget<T, R>>;
  get<R extends readonly unknown[] = unknown[]>(names: readonly string[]): Promise<PerTarget<T, R>>;
  get(names: string | readonly string[]): Promise<unknown> {
    return this.submit(pullWork(names)).get();
  }

  /**
   * Divides a sequence into one part for each engine and assigns the parts to the same name. The sequence is a list, a
   * typed array, a numpy array (divided along its first axis) or another iterable. Mirrors ipyparallel `DirectView.scatter`.
   */
  scatter(name: string, sequence: Iterable<unknown>, options: ScatterOptions = {}): AsyncResult<null[]> {
    checkOptions(options, SCATTER_OPTIONS, 'scatter');
    const dist = checkDistribution(options.dist ?? 'block');
    const sliceable = toSliceable(sequence);
    const engines = this.engines();
    const pieces = engines.map((engine, i) => {
      const enginePart = part(sliceable, i, engines.length, dist);
      const value =
        options.flatten === true && enginePart.length === 1
          ? sliceable.at(enginePart.first)
          : enginePart.value;
      return { engine, work: pushWork({ [name]: value }) };
    });
    return new AsyncResult<null[]>(this.rememberAll(this.context.submitter.toEngines(pieces, this.flags)), {
      single: false,
    });
  }

  /**
   * Joins the parts of a scattered sequence: into an array if all parts are arrays of one type, else into a list. `W` is
   * the expected type, such as `number[]` or `NdArray`. Mirrors ipyparallel `DirectView.gather`.
   */
  gather<W extends Iterable<unknown> = Gathered>(
    name: string,
    options: { readonly dist?: Distribution } = {},
  ): AsyncMapResult<ItemOf<W>, W> {
    checkOptions(options, GATHER_OPTIONS, 'gather');
    const dist = checkDistribution(options.dist ?? 'block');
    const work = pullWork(name);
    const pieces = this.engines().map((engine) => ({ engine, work }));
    return new AsyncMapResult<ItemOf<W>, W>(
      this.rememberAll(this.context.submitter.toEngines(pieces, this.flags)),
      {
        kind: dist === 'block' ? 'flatten' : 'roundRobin',
      },
    );
  }

  /** Clears the namespaces of the view's engines. Mirrors ipyparallel `DirectView.clear`. */
  async clear(options: WaitOptions = {}): Promise<void> {
    checkOptions(options, WAIT_OPTIONS, 'clear');
    await this.context.commands.clear({ ...options, targets: this.targets });
  }

  /** @internal */
  protected override submit<R>(work: WorkFor, flags: Partial<BroadcastFlags<T>> = {}): ViewResult<T, R> {
    const all = { ...this.flags, ...flags };
    const targets = flags.targets ?? this.targets;
    const engines = this.context.targets.enginesForWork(targets);
    return new AsyncResult<PerTarget<T, R>, R>(this.rememberAll(this.send(engines, work, all)), {
      single: typeof targets === 'number',
    });
  }

  /** @internal Submits the same work to several engines. */
  protected send(engines: readonly EngineInfo[], work: WorkFor, flags: BroadcastFlags<T>): Task[] {
    return this.context.submitter.toEngines(
      engines.map((engine) => ({ engine, work })),
      flags,
    );
  }

  /** @internal */
  protected override mapParts<R>(
    fn: Callable,
    sequences: readonly Iterable<unknown>[],
    options: MapOptions,
    mapping: boolean,
  ): MapResult<R> {
    if (options.chunksize !== undefined) {
      throw new UsageError(
        'chunksize is for load-balanced views; a direct view sends one part to each engine',
      );
    }
    const dist = checkDistribution(options.dist ?? 'block');
    const { sliceables, length } = toSliceables(sequences, mapping);
    const engines = this.engines();
    const sizes: number[] = [];
    const pieces = engines.flatMap((engine, i) => {
      const slices = sliceables.map((sliceable) => part(sliceable, i, engines.length, dist));
      const parts = slices.map(({ value }) => value);
      const size = slices[0]?.length ?? 0;
      if (size === 0) return [];
      sizes.push(mapping ? size : 1);
      return [{ engine, work: mapping ? workOfEach(fn, parts) : workOfCall(fn, parts) }];
    });
    const flags = this.flagsWithLabel(options);
    const tasks = length === 0 ? [] : this.rememberAll(this.context.submitter.toEngines(pieces, flags));
    return new AsyncMapResult<R>(tasks, {
      kind: dist === 'block' ? 'flatten' : 'roundRobin',
      ...(mapping ? { sizes } : {}),
      ordered: options.ordered ?? true,
      returnErrors: options.returnExceptions ?? false,
    });
  }

  /** @internal Submits each chunk to the engine with the fewest chunks in flight. */
  protected override lazyMap(
    fn: Callable,
    sequences: readonly (Iterable<unknown> | AsyncIterable<unknown>)[],
    options: ImapOptions,
  ): LazyMap<unknown> {
    const load = new Map<string, number>();
    return this.lazyMapOf(sequences, options, (chunk, flags) => {
      const engines = this.engines();
      const engine = engines.reduce((best, each) =>
        (load.get(each.uuid) ?? 0) < (load.get(best.uuid) ?? 0) ? each : best,
      );
      const [task] = this.rememberAll(
        this.context.submitter.toEngines([{ engine, work: workOfEach(fn, chunk) }], flags),
      );
      if (task === undefined) throw new UsageError('the submitter created no task for this chunk');
      load.set(engine.uuid, (load.get(engine.uuid) ?? 0) + 1);
      void task.done.then(() => load.set(engine.uuid, (load.get(engine.uuid) ?? 1) - 1));
      return task;
    });
  }

  /** @internal */
  protected engines(): EngineInfo[] {
    return this.context.targets.enginesForWork(this.targets);
  }

  /** @internal Adds tasks to the view's history and returns them. */
  protected rememberAll(tasks: Task[]): Task[] {
    this.remember(tasks);
    return tasks;
  }
}
