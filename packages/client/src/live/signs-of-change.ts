import type { Signal } from './signals.js';

/** What is hoped for of a task that something was heard of. */
interface Sign {
  /** When it is to be asked for. */
  due: number;
  /** When it was last heard of. */
  heard: number;
  tries: number;
  /** It should have ended: until its record says so it is asked again. */
  ended: boolean;
}

/** The record of a task that was heard of may come this much later, in ms. */
const LATE_RECORD_MS = 5_000;
/** A record may say this much later that its task has ended. */
const LATE_END_MS = 10_000;
/** Output may reach a record this much later than it was seen here. */
const LATE_OUTPUT_MS = 150;
const FIRST_RETRY_MS = 4;
const LAST_RETRY_MS = 1_000;
/** A task that prints is not asked for at each line. */
const OUTPUT_PAUSE_MS = 40;
/** So many are asked for at most; what more is heard of is found without. */
const MOST = 20_000;

/** Which tasks may have changed, from what was heard of them, and when to ask for each. */
export class SignsOfChange {
  readonly #signs = new Map<string, Sign>();
  readonly #outputMatters: boolean;

  /** `outputMatters`: whether output is asked for, or asked about. */
  constructor(outputMatters: boolean) {
    this.#outputMatters = outputMatters;
  }

  /** Notes a signal; false when it is of no interest. */
  hear(signal: Exclude<Signal, { kind: 'anything' }>, now: number): boolean {
    const { kind, msgId } = signal;
    if (kind === 'output' && !this.#outputMatters) return false;
    const due = kind === 'output' ? now + OUTPUT_PAUSE_MS : now;
    const known = this.#signs.get(msgId);
    if (known === undefined) {
      if (this.#signs.size >= MOST) return false;
      this.#signs.set(msgId, { due, heard: now, tries: 0, ended: kind === 'ended' });
      return true;
    }
    known.heard = now;
    known.due = Math.min(known.due, due);
    if (kind === 'ended') {
      known.ended = true;
      known.tries = 0;
    }
    return true;
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
    for (const { due } of this.#signs.values()) next = Math.min(next, due);
    return next;
  }

  /** Learns what a question that was sent at `asked` has answered of a task. */
  answered(msgId: string, answer: 'missing' | 'open' | 'over', asked: number, now: number): void {
    const sign = this.#signs.get(msgId);
    if (sign === undefined) return;
    // What was heard after the question was sent is not answered by it.
    if (sign.heard > asked) {
      sign.due = Math.min(sign.due, now);
      return;
    }
    const since = now - sign.heard;
    const hoped =
      answer === 'missing' ? since < LATE_RECORD_MS : answer === 'open' && sign.ended && since < LATE_END_MS;
    if (hoped) sign.due = now + Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** sign.tries++);
    else if (this.#outputMatters && answer !== 'missing' && since < LATE_OUTPUT_MS)
      sign.due = sign.heard + LATE_OUTPUT_MS;
    else this.#signs.delete(msgId);
  }

  has(msgId: string): boolean {
    return this.#signs.has(msgId);
  }

  /** Nothing more is of interest about a task. */
  forget(msgId: string): void {
    this.#signs.delete(msgId);
  }
}
