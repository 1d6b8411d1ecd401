import { isDone, TaskNotFoundError, type TaskStatus } from '@ipyparallel-js/protocol';
import type { WaitOptions } from '@ipyparallel-js/wire';
import { concat, defer, from, type Observable, ReplaySubject, Subject } from 'rxjs';
import { OutputStore } from './output-store.js';
import { type MutableMetadata, newMetadata, type TaskMetadata, type TaskOutput } from './task-metadata.js';

/** What a task takes beside its result and output, about. */
const FIXED_SIZE = 1_024;

/** How a task ended. */
export type Outcome =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: Error };

/** What a task needs of the client that follows it. */
export interface TaskOwner {
  /** Which cluster it belongs to: a digest that is the same for all of the cluster's clients; null when it has no key. */
  readonly cluster: string | null;
  /** Aborts tasks that wait at an engine. */
  abort(tasks: readonly Task[], options: WaitOptions): Promise<void>;
  /** The user has read the result of a task, so it need not be cached any longer. */
  markRead(task: Task): void;
}

/** What is known of a task when it is first followed. */
export interface TaskStart {
  readonly status?: TaskStatus;
  readonly engineUuid?: string;
  /** True by default; false for a task that is about to be sent from here. */
  readonly sent?: boolean;
  /** The client's side of it. */
  readonly owner?: TaskOwner;
  /** The engine's id by its uuid, asked whenever an engine becomes known. */
  readonly engineId?: (uuid: string) => number | undefined;
}

/** One task that this client follows: its own, or one that the hub is asked about. */
export class Task {
  readonly msgId: string;
  /** Resolves with the outcome; never rejects, so that a failure nobody reads is no unhandled rejection. */
  readonly done: Promise<Outcome>;
  /** Resolves when nothing more of its output is expected; never before `done`. */
  readonly outputDone: Promise<void>;
  /** What it can ask of the client that follows it. */
  readonly owner: TaskOwner | undefined;
  readonly #metadata: MutableMetadata;
  readonly #engineId: (uuid: string) => number | undefined;
  // Made when somebody listens: most tasks of a large map are only waited for. Replays its last value also when it is
  // over, which a BehaviorSubject does not.
  #changes: ReplaySubject<TaskStatus> | undefined;
  #output: Subject<TaskOutput> | undefined;
  readonly #store: OutputStore;
  #status: TaskStatus;
  #outcome: Outcome | undefined;
  #outputEnded = false;
  #sent: boolean;
  #resultBytes = 0;
  #resolve: (outcome: Outcome) => void = () => undefined;
  #resolveOutput: () => void = () => undefined;

  constructor(msgId: string, start: TaskStart = {}) {
    this.msgId = msgId;
    this.owner = start.owner;
    this.#metadata = newMetadata(msgId);
    this.#store = new OutputStore(this.#metadata);
    this.#engineId = start.engineId ?? (() => undefined);
    if (start.engineUuid !== undefined) this.engineUuid = start.engineUuid;
    this.#sent = start.sent ?? true;
    this.#status = start.status ?? 'unassigned';
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.outputDone = new Promise((resolve) => {
      this.#resolveOutput = resolve;
    });
  }

  get status(): TaskStatus {
    return this.#status;
  }

  /**
   * The status, at once and at each change; completes when the task has ended. Errors with the TaskNotFoundError of a task
   * that nobody knows: no status is true of it.
   */
  get status$(): Observable<TaskStatus> {
    if (this.#changes === undefined) {
      this.#changes = new ReplaySubject(1);
      this.#changes.next(this.#status);
      this.#end(this.#changes);
    }
    return this.#changes.asObservable();
  }

  /** The outcome once there is one. */
  get outcome(): Outcome | undefined {
    return this.#outcome;
  }

  /** What is known of it now: the same object all along, filled as it happens. */
  get metadata(): TaskMetadata {
    return this.#metadata;
  }

  /** Fills in what a request, a reply or a record says. */
  describe(facts: Partial<Omit<TaskMetadata, 'msgId' | 'stdout' | 'stderr' | 'outputs' | 'data'>>): void {
    Object.assign(this.#metadata, facts);
  }

  /** When an engine began with it, where a signal has told. */
  get begun(): Date | null {
    return this.#metadata.begun;
  }

  /** The engine that has or had it, as far as is known. */
  get engineUuid(): string | undefined {
    return this.#metadata.engineUuid ?? undefined;
  }

  set engineUuid(uuid: string | undefined) {
    this.#metadata.engineUuid = uuid ?? null;
    this.#metadata.engineId = uuid === undefined ? null : (this.#engineId(uuid) ?? null);
  }

  /** What it printed so far. */
  get stdout(): string {
    return this.#metadata.stdout;
  }

  get stderr(): string {
    return this.#metadata.stderr;
  }

  /** Its output: what there is, at once, then each piece as it comes; completes with `outputDone`. */
  get output$(): Observable<TaskOutput> {
    return defer(() => {
      const there = from(this.#store.pieces());
      if (this.#outputEnded) return there;
      this.#output ??= new Subject();
      return concat(there, this.#output);
    });
  }

  /** Whether nothing more of its output is expected. */
  get outputEnded(): boolean {
    return this.#outputEnded;
  }

  /** Whether its request was given to ZeroMQ, by whoever submitted it. */
  get sent(): boolean {
    return this.#sent;
  }

  /** Its request was given to ZeroMQ. */
  markSent(): void {
    this.#sent = true;
  }

  /** An engine has it. */
  assign(engineUuid: string): void {
    if (this.#outcome !== undefined || engineUuid === '') return;
    this.engineUuid = engineUuid;
    this.#become('assigned');
  }

  /** An engine has begun with it; the first word counts. */
  begin(at: Date): void {
    if (this.#metadata.status !== 'aborted') this.#metadata.begun ??= at;
  }

  /** It has put something out: kept within bounds, and told to who listens. */
  emit(output: TaskOutput): void {
    if (this.#outputEnded) return;
    this.#store.add(output);
    this.#output?.next(output);
  }

  /** Nothing more of its output is expected. */
  endOutput(): void {
    if (this.#outputEnded) return;
    this.#outputEnded = true;
    this.#output?.complete();
    this.#resolveOutput();
  }

  /**
   * It has ended; the first word counts. False when it had ended before. A status that is not an end (the connection
   * was closed: nobody knows) stays what it was. With `moreOutput`, `endOutput` is to follow.
   */
  settle(outcome: Outcome, status: TaskStatus, options: { readonly moreOutput?: boolean } = {}): boolean {
    if (this.#outcome !== undefined) return false;
    this.#outcome = outcome;
    // What ended without a reply is known to have ended now.
    this.#metadata.received ??= new Date();
    if (isDone(status)) this.#become(status);
    if (this.#changes !== undefined) this.#end(this.#changes);
    this.#resolve(outcome);
    if (options.moreOutput !== true) this.endOutput();
    return true;
  }

  /** Bytes that its result and output take here, about. */
  get size(): number {
    return FIXED_SIZE + this.#store.bytes + this.#resultBytes;
  }

  /** Says what its result takes. */
  weigh(resultBytes: number): void {
    this.#resultBytes = resultBytes;
  }

  #end(changes: ReplaySubject<TaskStatus>): void {
    const outcome = this.#outcome;
    if (outcome === undefined) return;
    const { error } = outcome.ok ? { error: undefined } : outcome;
    if (error instanceof TaskNotFoundError && error.reason === 'unknown') changes.error(error);
    else changes.complete();
  }

  #become(status: TaskStatus): void {
    if (status === this.#status) return;
    this.#status = status;
    this.#changes?.next(status);
  }
}
