import type { Row } from '../hub/record-query.js';
import { RECORD_DELAYS, TaskFollower } from '../tasks/task-follower.js';
import type { ChangeSignal } from './change-signals.js';

/** The pending recheck of one task's record. */
interface Recheck {
  /** When to read the record; Infinity while the record contains all signaled changes. */
  due: number;
  /** The time of the last signal. */
  signaledAt: number;
  attempts: number;
  readonly follower: TaskFollower;
}

const FIRST_RETRY_MS = 4;
const MAX_RETRY_MS = 1_000;
/** The delay of a recheck after output, in ms, so that the record of a printing task is not read for each line. */
const OUTPUT_DELAY_MS = 40;
/** The highest number of scheduled tasks; changes of others are found by the periodic scan. */
const MAX_TASKS = 20_000;

/** Derives from change signals which records may have changed, and when to read each. */
export class RecheckSchedule {
  readonly #rechecks = new Map<string, Recheck>();
  readonly #readsOutput: boolean;

  /** `readsOutput`: whether the live query reads output columns. */
  constructor(readsOutput: boolean) {
    this.#readsOutput = readsOutput;
  }

  /** Schedules a recheck for a signal. @returns false when the signal has no effect */
  note(signal: Exclude<ChangeSignal, { kind: 'unspecified' }>, now: number): boolean {
    const { kind, msgId } = signal;
    if (kind === 'output' && !this.#readsOutput) return false;
    const recheck = this.#rechecks.get(msgId) ?? this.#add(msgId);
    recheck.signaledAt = now;
    recheck.attempts = 0;
    recheck.due = Math.min(recheck.due, kind === 'output' ? now + OUTPUT_DELAY_MS : now);
    if (kind === 'ended') recheck.follower.noteEnd();
    if (kind === 'output') recheck.follower.noteOutput(signal.output);
    return true;
  }

  has(msgId: string): boolean {
    return this.#rechecks.has(msgId);
  }

  /** The ids of the records to read now. */
  due(now: number): string[] {
    const ids: string[] = [];
    for (const [msgId, { due }] of this.#rechecks) if (due <= now) ids.push(msgId);
    return ids;
  }

  /** When the next record is to be read; Infinity when none is. */
  get next(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { due } of this.#rechecks.values()) if (due < next) next = due;
    return next;
  }

  /** Ends or reschedules a recheck with the record that a request sent at `sentAt` returned; undefined for no record. */
  resolve(msgId: string, row: Row | undefined, sentAt: number, now: number): void {
    const recheck = this.#rechecks.get(msgId);
    if (recheck === undefined) return;
    // The reply may not cover a signal that arrived after the request was sent.
    if (recheck.signaledAt > sentAt) {
      recheck.due = Math.min(recheck.due, now);
      return;
    }
    const age = now - recheck.signaledAt;
    const isOpen = row !== undefined && (row.completed ?? null) === null;
    const { follower } = recheck;
    if (follower.isIncomplete(row, age))
      recheck.due = now + Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** recheck.attempts++);
    else if (row !== undefined && this.#readsOutput && age < RECORD_DELAYS.unobservedOutput)
      recheck.due = recheck.signaledAt + RECORD_DELAYS.unobservedOutput;
    // The follower must count the output as long as the task may print more.
    else if (isOpen && !follower.hasEnded && follower.hasOutput) recheck.due = Number.POSITIVE_INFINITY;
    else this.#rechecks.delete(msgId);
  }

  /** Cancels the recheck of a task. */
  forget(msgId: string): void {
    this.#rechecks.delete(msgId);
  }

  #add(msgId: string): Recheck {
    if (this.#rechecks.size >= MAX_TASKS) {
      for (const oldest of this.#rechecks.keys()) {
        this.#rechecks.delete(oldest);
        break;
      }
    }
    const follower = new TaskFollower();
    const recheck: Recheck = { due: Number.POSITIVE_INFINITY, signaledAt: 0, attempts: 0, follower };
    this.#rechecks.set(msgId, recheck);
    return recheck;
  }
}
