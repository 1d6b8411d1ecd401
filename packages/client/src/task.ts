import { isDone, type TaskStatus } from '@ipyparallel-js/protocol';
import { type Observable, ReplaySubject } from 'rxjs';

/** How a task ended. */
export type Outcome =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: Error };

/** One task that this client follows: its own, or one that the hub is asked about. */
export class Task {
  readonly msgId: string;
  /** Resolves with the outcome; never rejects, so that a failure nobody reads is no unhandled rejection. */
  readonly done: Promise<Outcome>;
  /** The engine that has or had it, as far as is known. */
  engineUuid: string | undefined;
  /** What it printed so far. */
  stdout = '';
  stderr = '';
  // Replays its last value also when it is over, which a BehaviorSubject does not.
  readonly #changes = new ReplaySubject<TaskStatus>(1);
  #status: TaskStatus;
  #outcome: Outcome | undefined;
  #resolve: (outcome: Outcome) => void = () => undefined;

  constructor(msgId: string, status: TaskStatus = 'unassigned', engineUuid?: string) {
    this.msgId = msgId;
    this.engineUuid = engineUuid;
    this.#status = status;
    this.#changes.next(status);
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get status(): TaskStatus {
    return this.#status;
  }

  /** The status, at once and at each change; completes when the task has ended. */
  get status$(): Observable<TaskStatus> {
    return this.#changes.asObservable();
  }

  /** The outcome once there is one. */
  get outcome(): Outcome | undefined {
    return this.#outcome;
  }

  /** An engine has it. */
  assign(engineUuid: string): void {
    if (this.#outcome !== undefined || engineUuid === '') return;
    this.engineUuid = engineUuid;
    this.#become('assigned');
  }

  /** It has ended; the first word counts. False when it had ended before. */
  settle(outcome: Outcome, status: TaskStatus): boolean {
    if (this.#outcome !== undefined) return false;
    this.#outcome = outcome;
    if (isDone(status)) this.#become(status);
    this.#changes.complete();
    this.#resolve(outcome);
    return true;
  }

  #become(status: TaskStatus): void {
    if (status === this.#status) return;
    this.#status = status;
    this.#changes.next(status);
  }
}
