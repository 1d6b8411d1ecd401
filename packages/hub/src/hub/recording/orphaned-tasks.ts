import type { Session } from '@ipyparallel-js/protocol';
import { parseQuery, parseSort } from '@ipyparallel-js/protocol/internal';
import type { TaskDatabase } from '../../db/task-database.js';
import type { Schedulers } from '../../thread-link/schedulers.js';
import type { TaskTracker } from './task-tracker.js';

/** Unfinished tasks of earlier lives that are looked after, the latest. */
const MOST = 65_536;

/** Whom answers to our questions are addressed to: nobody. The hub sees them as copies. */
const ASKER = 'hub-probe';
/** An engine that does not answer is asked again after so many ms, then after twice as long. */
const FIRST_ASKED_AGAIN = 2000;
const LAST_ASKED_AGAIN = 300_000;
/** Answers of several sockets of an engine may overtake each other by so many ms. */
const STRAGGLERS = 1000;

/** What earlier tasks are made of. */
export interface EarlierTasksOptions {
  readonly db: TaskDatabase;
  readonly tracker: TaskTracker;
  readonly session: Session;
  readonly schedulers: Schedulers;
  /** The engine is there, has answered everything that it had, and not this. */
  readonly onLost: (msgId: string, engine: string) => void;
}

/**
 * Tasks that an earlier life of this controller left unfinished. An engine that is still there may have them, and its
 * results count; one that has none of a task any more (its result was lost with the controller) is found out by a
 * question that it answers in its turn, after all that it has.
 */
export class EarlierTasks {
  readonly #options: EarlierTasksOptions;
  /** Which engine has it, as far as is known. */
  readonly #tasks = new Map<string, string | null>();
  readonly #queues = new Map<string, string>();
  /** Engines of the earlier life of which it is not known yet what they have. */
  readonly #awaited = new Set<string>();
  readonly #questions = new Map<string, string>();
  readonly #timers = new Map<string, NodeJS.Timeout>();

  constructor(options: EarlierTasksOptions) {
    this.#options = options;
  }

  /** Reads what is unfinished; `engines` are those that were registered when the earlier life ended. */
  async load(engines: readonly string[]): Promise<void> {
    const { db, tracker } = this.#options;
    for (const uuid of engines) this.#awaited.add(uuid);
    if (db.kind === 'none') return;
    const query = parseQuery({ completed: null, submitted: { $ne: null } });
    const options = {
      keys: ['engine_uuid', 'queue'] as const,
      sort: parseSort({ submitted: -1 }),
      limit: MOST,
    };
    for await (const tasks of db.find(query, options)) {
      for (const { msg_id: msgId, engine_uuid, queue } of tasks) {
        const engine = engine_uuid === undefined || engine_uuid === '' ? null : engine_uuid;
        this.#tasks.set(msgId, engine);
        if (queue === 'mux') this.#queues.set(msgId, queue);
        if (engine !== null && this.#awaited.has(engine)) tracker.pending.add(msgId);
        // An engine may have been given it before that was written down.
        else if (engine === null && this.#awaited.size > 0) tracker.submitTask(msgId);
      }
    }
  }

  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  /** A result has come; whether it is of an earlier task that was not known to have ended. */
  take(msgId: string): boolean {
    this.#queues.delete(msgId);
    return this.#tasks.delete(msgId);
  }

  /** An engine is registered that was there before: what it had is its again, and it is asked what it still has. */
  engineIsBack(uuid: string): void {
    const own = this.#of(uuid);
    if (own.length === 0 && !this.#awaited.has(uuid)) return;
    if (this.#tasks.size === 0) {
      this.#settle(uuid);
      return;
    }
    for (const msgId of own) this.#options.tracker.inherit(msgId, uuid, this.#queues.get(msgId) === 'mux');
    this.#awaited.add(uuid);
    this.#ask(uuid, FIRST_ASKED_AGAIN);
  }

  /** An engine is gone, or has not come back; the tasks that it leaves. */
  engineIsGone(uuid: string): string[] {
    const own = this.#of(uuid);
    for (const msgId of own) this.take(msgId);
    this.#settle(uuid);
    return own;
  }

  /** A direct reply has come to something that is no task; whether it answers a question of ours. */
  answered(msgId: string): boolean {
    const uuid = this.#questions.get(msgId);
    if (uuid === undefined) return false;
    this.#stopAsking(uuid);
    this.#timers.set(
      uuid,
      setTimeout(() => {
        this.#timers.delete(uuid);
        for (const lost of this.#of(uuid)) this.#options.onLost(lost, uuid);
        this.#settle(uuid);
      }, STRAGGLERS),
    );
    return true;
  }

  #of(uuid: string): string[] {
    return [...this.#tasks].filter(([, engine]) => engine === uuid).map(([msgId]) => msgId);
  }

  #ask(uuid: string, again: number): void {
    const { session, schedulers } = this.#options;
    const question = session.message('execute_request', {
      ...{ code: '', silent: true, store_history: false, user_expressions: {} },
      ...{ allow_stdin: false, stop_on_error: false },
    });
    this.#questions.set(question.msg_id, uuid);
    schedulers.submitDirect(session.encode(question, [uuid, ASKER]));
    const timer = setTimeout(() => this.#ask(uuid, Math.min(2 * again, LAST_ASKED_AGAIN)), again);
    this.#timers.set(uuid, timer);
  }

  #stopAsking(uuid: string): void {
    clearTimeout(this.#timers.get(uuid));
    this.#timers.delete(uuid);
    for (const [msgId, asked] of this.#questions) if (asked === uuid) this.#questions.delete(msgId);
  }

  /** Once no engine is left that might have them, tasks that were given to none are known to be nowhere. */
  #settle(uuid: string): void {
    this.#stopAsking(uuid);
    if (!this.#awaited.delete(uuid) || this.#awaited.size > 0) return;
    const { tracker } = this.#options;
    for (const [msgId, engine] of this.#tasks) {
      if (engine !== null) continue;
      tracker.pending.delete(msgId);
      tracker.unassigned.delete(msgId);
    }
  }
}
