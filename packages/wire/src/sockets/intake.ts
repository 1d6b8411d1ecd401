import {
  type AnyMessage,
  ProtocolError,
  ReplayError,
  type ReplayHistory,
  type Session,
  SignatureError,
} from '@ipyparallel-js/protocol';

/** Why a message was dropped: no message at all, a signature that is missing or wrong, the same message again. */
export type DropReason = 'malformed' | 'forged' | 'replayed';

/** Reads what comes in on the receivers of one process, each with a history of its own. What fails is only reported. */
export class Intake {
  readonly #session: Session;
  readonly #onDrop: (reason: DropReason, channel: string, error: ProtocolError) => void;
  readonly #histories = new Map<string, ReplayHistory>();

  constructor(session: Session, onDrop: (reason: DropReason, channel: string, error: ProtocolError) => void) {
    this.#session = session;
    this.#onDrop = onDrop;
  }

  /** The message, verified and not seen before on this channel; undefined when it was dropped. */
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
