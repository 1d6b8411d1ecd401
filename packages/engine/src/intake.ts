import {
  type AnyMessage,
  ReplayError,
  type ReplayHistory,
  type Session,
  SignatureError,
} from '@ipyparallel-js/protocol';
import type { Logger } from './log.js';

/** What an engine has dropped, by reason. */
export interface EngineStats {
  /** Frames that form no message. */
  malformed: number;
  /** A signature that is missing or wrong. */
  forged: number;
  /** The same message again. */
  repeated: number;
}

/** Reads what comes in. What fails is dropped, counted and logged once a reason. */
export class Intake {
  readonly stats: EngineStats = { malformed: 0, forged: 0, repeated: 0 };
  readonly #session: Session;
  readonly #log: Logger;

  constructor(session: Session, log: Logger) {
    this.#session = session;
    this.#log = log;
  }

  /** The message, or undefined when it was refused. */
  decode(channel: string, frames: readonly Buffer[], history?: ReplayHistory): AnyMessage | undefined {
    try {
      return this.#session.decode(frames, history);
    } catch (error) {
      const reason =
        error instanceof SignatureError ? 'forged' : error instanceof ReplayError ? 'repeated' : 'malformed';
      this.stats[reason]++;
      this.#log.warnOnce(reason, `dropped a ${reason} message on ${channel}: ${String(error)}`);
      return undefined;
    }
  }
}
