import { type AnyMessage, isMessageOf, parentId } from '@ipyparallel-js/protocol';

/** What a client notices without asking: each says that something about a task, or the cluster, may be new at the hub. */
export type ChangeSignal =
  /** It was sent; its record will be there soon. */
  | { readonly kind: 'submitted'; readonly msgId: string }
  | { readonly kind: 'begun'; readonly msgId: string; readonly at: Date }
  | { readonly kind: 'output'; readonly msgId: string; readonly output: Output }
  /** Its reply, or that its engine is idle again. */
  | { readonly kind: 'ended'; readonly msgId: string }
  /** Engines came or went, records were purged or resubmitted: anything may have changed. */
  | { readonly kind: 'unspecified' };

/** Output of a task: the column that it goes to, and how much it adds to a text. */
export interface Output {
  readonly column: 'stdout' | 'stderr' | 'execute_input' | 'execute_result' | 'error' | 'display_data';
  readonly length: number;
}

/** When so many tasks are remembered to have begun, the oldest are forgotten. */
const MOST_BEGUN = 10_000;

/** Passes on what a client notices to the live queries that run. */
export class ChangeSignals {
  readonly #listeners = new Set<(signal: ChangeSignal) => void>();
  readonly #begun = new Map<string, Date>();

  /** Listens until the returned function is called. */
  listen(listener: (signal: ChangeSignal) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** When a task that has not ended was seen to begin. */
  begun(msgId: string): Date | undefined {
    return this.#begun.get(msgId);
  }

  /** A message of the iopub socket. */
  onOutput(message: AnyMessage): void {
    const msgId = parentId(message);
    if (msgId === undefined) return;
    if (!isMessageOf(message, 'status')) {
      const output = outputOf(message);
      if (output !== undefined) this.#tell({ kind: 'output', msgId, output });
    } else if (message.content.execution_state === 'busy') {
      const at = new Date();
      this.#remember(msgId, at);
      this.#tell({ kind: 'begun', msgId, at });
    } else this.#ended(msgId);
  }

  /** A task's reply has come here. */
  onReply(message: AnyMessage): void {
    const msgId = parentId(message);
    if (msgId !== undefined) this.#ended(msgId);
  }

  onSubmitted(msgId: string): void {
    this.#tell({ kind: 'submitted', msgId });
  }

  onUnspecified(): void {
    this.#tell({ kind: 'unspecified' });
  }

  #ended(msgId: string): void {
    this.#begun.delete(msgId);
    this.#tell({ kind: 'ended', msgId });
  }

  #remember(msgId: string, at: Date): void {
    this.#begun.delete(msgId);
    this.#begun.set(msgId, at);
    if (this.#begun.size <= MOST_BEGUN) return;
    for (const oldest of this.#begun.keys()) {
      this.#begun.delete(oldest);
      return;
    }
  }

  #tell(signal: ChangeSignal): void {
    for (const listener of this.#listeners) listener(signal);
  }
}

function outputOf(message: AnyMessage): Output | undefined {
  const { msg_type, content } = message;
  switch (msg_type) {
    case 'stream': {
      const column = content['name'];
      const text = content['text'];
      if ((column !== 'stdout' && column !== 'stderr') || typeof text !== 'string') return undefined;
      return { column, length: text.length };
    }
    case 'execute_input':
    case 'execute_result':
    case 'error':
    case 'display_data':
      return { column: msg_type, length: 0 };
    default:
      return undefined;
  }
}
