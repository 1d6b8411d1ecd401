import { isDone, TaskNotFoundError, type TaskStatus } from '@ipyparallel-js/protocol';
import type { WaitOptions } from '@ipyparallel-js/wire';
import { concat, defer, from, type Observable, ReplaySubject, Subject } from 'rxjs';
import { OutputStore } from './output-store.js';
import { type MutableMetadata, newMetadata, type TaskMetadata, type TaskOutput } from './task-metadata.js';

/** The approximate size of a task without its result and output, in bytes. */
const FIXED_SIZE = 1_024;

/** How a task ended. */
export type Outcome =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: Error };

/** The part of a client that its tasks use. */
export interface TaskOwner {
  /** A digest that identifies the cluster, the same for all its clients; null if the cluster has no key. */
  readonly cluster: string | null;
  /** Aborts tasks that are queued. */
  abort(tasks: readonly Task[], options: WaitOptions): Promise<void>;
  /** The user has read the result of a task, so it need not be cached any longer. */
  markRead(task: Task): void;
}

/** The initial state of a task. */
export interface TaskStart {
  readonly status?: TaskStatus;
  readonly engineUuid?: string;
  /** Whether the request has been sent; true by default, false for a task that this client will send. */
  readonly sent?: boolean;
  /** The client of the task. */
  readonly owner?: TaskOwner;
  /** Looks up the id of an engine by its uuid. */
  readonly engineId?: (uuid: string) => number | undefined;
}

/** A task of this or another client: its status, metadata, output and outcome. */
export class Task {
  readonly msgId: string;
  /** Resolves with the outcome. Never rejects, so that an unread failure causes no unhandled rejection. */
  readonly done: Promise<Outcome>;
  /** Resolves when no more output is expected; never before `done`. */
  readonly outputDone: Promise<void>;
  readonly owner: TaskOwner | undefined;
  readonly #metadata: MutableMetadata;
  readonly #engineId: (uuid: string) => number | undefined;
  // Created at the first subscription, because most tasks of a large map are only awaited. Unlike a BehaviorSubject, a
  // ReplaySubject replays its last value after its completion, too.
  #changes: ReplaySubject<TaskStatus> | undefined;
  #output: Subject<TaskOutput> | undefined;
  readonly #store: OutputStore;
  #status: TaskStatus;
  #outcome: Outcome | undefined;
  #hasOutputEnded = false;
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
   * Emits the status at once and at each change; completes when the task has ended. Errors with TaskNotFoundError for an
   * unknown task, which has no status.
   */
  get status$(): Observable<TaskStatus> {
    if (this.#changes === undefined) {
      this.#changes = new ReplaySubject(1);
      this.#changes.next(this.#status);
      this.#end(this.#changes);
    }
    return this.#changes.asObservable();
  }

  /** The outcome; undefined until the task has ended. */
  get outcome(): Outcome | undefined {
    return this.#outcome;
  }

  /** The metadata: always the same object, which is updated as the task proceeds. */
  get metadata(): TaskMetadata {
    return this.#metadata;
  }

  /** Updates the metadata from a request, a reply or a record. */
  describe(facts: Partial<Omit<TaskMetadata, 'msgId' | 'stdout' | 'stderr' | 'outputs' | 'data'>>): void {
    Object.assign(this.#metadata, facts);
  }

  /** When an engine began the task; null if no status message reported it. */
  get begun(): Date | null {
    return this.#metadata.begun;
  }

  /** The uuid of the engine that has or had the task; undefined if unknown. */
  get engineUuid(): string | undefined {
    return this.#metadata.engineUuid ?? undefined;
  }

  set engineUuid(uuid: string | undefined) {
    this.#metadata.engineUuid = uuid ?? null;
    this.#metadata.engineId = uuid === undefined ? null : (this.#engineId(uuid) ?? null);
  }

  /** The stdout so far. */
  get stdout(): string {
    return this.#metadata.stdout;
  }

  get stderr(): string {
    return this.#metadata.stderr;
  }

  /** Emits the existing output at once, then each new piece; completes with `outputDone`. */
  get output$(): Observable<TaskOutput> {
    return defer(() => {
      const existing = from(this.#store.pieces());
      if (this.#hasOutputEnded) return existing;
      this.#output ??= new Subject();
      return concat(existing, this.#output);
    });
  }

  /** Whether no more output is expected. */
  get outputEnded(): boolean {
    return this.#hasOutputEnded;
  }

  /** Whether the client that submitted the task passed its request to ZeroMQ. */
  get sent(): boolean {
    return this.#sent;
  }

  /** Records that the request was passed to ZeroMQ. */
  markSent(): void {
    this.#sent = true;
  }

  /** Records that an engine has the task. */
  assign(engineUuid: string): void {
    if (this.#outcome !== undefined || engineUuid === '') return;
    this.engineUuid = engineUuid;
    this.#setStatus('assigned');
  }

  /** Records when an engine began the task; later calls have no effect. */
  begin(at: Date): void {
    if (this.#metadata.status !== 'aborted') this.#metadata.begun ??= at;
  }

  /** Stores a piece of output within the limits and emits it. */
  emit(output: TaskOutput): void {
    if (this.#hasOutputEnded) return;
    this.#store.add(output);
    this.#output?.next(output);
  }

  /** Ends the output. */
  endOutput(): void {
    if (this.#hasOutputEnded) return;
    this.#hasOutputEnded = true;
    this.#output?.complete();
    this.#resolveOutput();
  }

  /**
   * Ends the task. Later calls have no effect and return false. A status that is not final (after the connection was
   * closed) is not changed. With `moreOutput`, the caller must call `endOutput` later.
   */
  settle(outcome: Outcome, status: TaskStatus, options: { readonly moreOutput?: boolean } = {}): boolean {
    if (this.#outcome !== undefined) return false;
    this.#outcome = outcome;
    // Without a reply, the time of its end is the time of this call.
    this.#metadata.received ??= new Date();
    if (isDone(status)) this.#setStatus(status);
    if (this.#changes !== undefined) this.#end(this.#changes);
    this.#resolve(outcome);
    if (options.moreOutput !== true) this.endOutput();
    return true;
  }

  /** The approximate size of its result and output in bytes. */
  get size(): number {
    return FIXED_SIZE + this.#store.bytes + this.#resultBytes;
  }

  /** Sets the size of its result. */
  setResultBytes(resultBytes: number): void {
    this.#resultBytes = resultBytes;
  }

  #end(changes: ReplaySubject<TaskStatus>): void {
    const outcome = this.#outcome;
    if (outcome === undefined) return;
    const { error } = outcome.ok ? { error: undefined } : outcome;
    if (error instanceof TaskNotFoundError && error.reason === 'unknown') changes.error(error);
    else changes.complete();
  }

  #setStatus(status: TaskStatus): void {
    if (status === this.#status) return;
    this.#status = status;
    this.#changes?.next(status);
  }
}
