import {
  type AnyMessage,
  ProtocolError,
  ReplayError,
  type ReplayHistory,
  type Session,
  SignatureError,
} from '@ipyparallel-js/protocol';

/** Why a message was dropped: `malformed`, `forged` (no valid signature) or `replayed`. */
export type DropReason = 'malformed' | 'forged' | 'replayed';

/**
 * Decodes the messages that a process receives, with one replay history per channel. It reports invalid messages to
 * `onDrop` instead of throwing.
 */
export class Intake {
  readonly #session: Session;
  readonly #onDrop: (reason: DropReason, channel: string, error: ProtocolError) => void;
  readonly #histories = new Map<string, ReplayHistory>();

  constructor(session: Session, onDrop: (reason: DropReason, channel: string, error: ProtocolError) => void) {
    this.#session = session;
    this.#onDrop = onDrop;
  }

  /** Verifies and decodes a message; returns undefined when it was dropped. */
  decode(channel: string, frames: readonly Buffer[]): AnyMessage | undefined {
    let history = this.#histories.get(channel);
    if (history === undefined) {
      history = this.#session.newHistory();
      this.#histories.set(channel, history);
    }
    try {
      return this.#session.decode(frames, history);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      const reason =
        error instanceof SignatureError ? 'forged' : error instanceof ReplayError ? 'replayed' : 'malformed';
      this.#onDrop(reason, channel, error);
      return undefined;
    }
  }
}
