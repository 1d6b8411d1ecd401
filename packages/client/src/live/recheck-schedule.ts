import type { Row } from '../hub/record-query.js';
import type { ChangeSignal, Output } from './change-signals.js';

/** What is hoped for of a task that something was heard of. */
interface Sign {
  /** When it is to be asked for; Infinity while its record has all that was heard. */
  due: number;
  /** When it was last heard of. */
  heard: number;
  tries: number;
  /** It should have ended: until its record says so it is asked again. */
  ended: boolean;
  /** What its record should have: so many characters, or a value. */
  readonly output: Map<Output['column'], number>;
}

// A hub that has much to do is seconds behind what is heard here.
/** The record of a task that was heard of may come this much later, in ms. */
const LATE_RECORD_MS = 20_000;
/** A record may say this much later that its task has ended, or what it printed. */
const LATE_NEWS_MS = 60_000;
/** What is not known to be missing may still come this much later. */
const LATE_REST_MS = 150;
const FIRST_RETRY_MS = 4;
const LAST_RETRY_MS = 1_000;
/** A task that prints is not asked for at each line. */
const OUTPUT_PAUSE_MS = 40;
/** So many tasks are remembered; what more is heard of is found without. */
const MOST = 20_000;

/** Which tasks may have changed, from what was heard of them, and when to ask for each. */
export class RecheckSchedule {
  readonly #signs = new Map<string, Sign>();
  readonly #outputMatters: boolean;

  /** `outputMatters`: whether output is asked for, or asked about. */
  constructor(outputMatters: boolean) {
    this.#outputMatters = outputMatters;
  }

  /** Notes a signal; false when it is of no interest. */
  note(signal: Exclude<ChangeSignal, { kind: 'unspecified' }>, now: number): boolean {
    const { kind, msgId } = signal;
    if (kind === 'output' && !this.#outputMatters) return false;
    const sign = this.#signs.get(msgId) ?? this.#add(msgId);
    sign.heard = now;
    sign.tries = 0;
    sign.due = Math.min(sign.due, kind === 'output' ? now + OUTPUT_PAUSE_MS : now);
    if (kind === 'ended') sign.ended = true;
    if (kind === 'output') {
      const { column, length } = signal.output;
      sign.output.set(column, (sign.output.get(column) ?? 0) + length);
    }
    return true;
  }

  has(msgId: string): boolean {
    return this.#signs.has(msgId);
  }

  /** The ids to ask for now. */
  due(now: number): string[] {
    const ids: string[] = [];
    for (const [msgId, { due }] of this.#signs) if (due <= now) ids.push(msgId);
    return ids;
  }

  /** When the next one is to be asked for; Infinity when none is. */
  get next(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { due } of this.#signs.values()) if (due < next) next = due;
    return next;
  }

  /** Learns what a question that was sent at `asked` has answered of a task: its record, or that there is none. */
  resolve(msgId: string, row: Row | undefined, asked: number, now: number): void {
    const sign = this.#signs.get(msgId);
    if (sign === undefined) return;
    // What was heard after the question was sent is not answered by it.
    if (sign.heard > asked) {
      sign.due = Math.min(sign.due, now);
      return;
    }
    const since = now - sign.heard;
    const isOpen = row !== undefined && (row.completed ?? null) === null;
    const wanting =
      row === undefined
        ? since < LATE_RECORD_MS
        : since < LATE_NEWS_MS && ((isOpen && sign.ended) || lacks(row, sign.output));
    if (wanting) sign.due = now + Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** sign.tries++);
    else if (row !== undefined && this.#outputMatters && since < LATE_REST_MS)
      sign.due = sign.heard + LATE_REST_MS;
    // How much it has printed is remembered as long as it may print more.
    else if (isOpen && !sign.ended && sign.output.size > 0) sign.due = Number.POSITIVE_INFINITY;
    else this.#signs.delete(msgId);
  }

  /** Nothing more is of interest about a task. */
  forget(msgId: string): void {
    this.#signs.delete(msgId);
  }

  #add(msgId: string): Sign {
    if (this.#signs.size >= MOST) {
      for (const oldest of this.#signs.keys()) {
        this.#signs.delete(oldest);
        break;
      }
    }
    const sign: Sign = {
      ...{ due: Number.POSITIVE_INFINITY, heard: 0, tries: 0, ended: false, output: new Map() },
    };
    this.#signs.set(msgId, sign);
    return sign;
  }
}

/** Whether a record lacks output that was heard; columns that it was not asked for are passed over. */
function lacks(row: Row, output: Sign['output']): boolean {
  for (const [column, length] of output) {
    // SQLite hubs keep no display_data.
    if (column === 'display_data' || !Object.hasOwn(row, column)) continue;
    const value = row[column] ?? null;
    if (value === null || (typeof value === 'string' && value.length < length)) return true;
  }
  return false;
}
