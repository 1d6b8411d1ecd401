import { type AnyMessage, isMessageOf, parentId } from '@ipyparallel-js/protocol';
import { type ObservedOutput, observedOutputOf } from '../tasks/task-follower.js';

/** An observation of the client that a task, or the cluster, may have changed at the hub. */
export type ChangeSignal =
  /** The task was sent, so its record will exist soon. */
  | { readonly kind: 'submitted'; readonly msgId: string }
  | { readonly kind: 'begun'; readonly msgId: string; readonly at: Date }
  | { readonly kind: 'output'; readonly msgId: string; readonly output: ObservedOutput }
  /** The task's reply arrived, or its engine became idle. */
  | { readonly kind: 'ended'; readonly msgId: string }
  /** Any record may have changed: engines registered or unregistered, or records were purged or resubmitted. */
  | { readonly kind: 'unspecified' };

/** The highest number of running tasks whose begin time is stored; the oldest times are dropped. */
const MAX_BEGIN_TIMES = 10_000;

/** Derives change signals from the messages of a client, and emits them to the live queries. */
export class ChangeSignals {
  readonly #listeners = new Set<(signal: ChangeSignal) => void>();
  readonly #beginTimes = new Map<string, Date>();

  /** Calls `listener` with each signal, until the returned function is called. */
  listen(listener: (signal: ChangeSignal) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** When a running task began, if the client observed it. */
  begunAt(msgId: string): Date | undefined {
    return this.#beginTimes.get(msgId);
  }

  /** Handles a message of the iopub socket. */
  onOutput(message: AnyMessage): void {
    const msgId = parentId(message);
    if (msgId === undefined) return;
    if (!isMessageOf(message, 'status')) {
      const output = observedOutputOf(message);
      if (output !== undefined) this.#emit({ kind: 'output', msgId, output });
    } else if (message.content.execution_state === 'busy') {
      const at = new Date();
      this.#storeBeginTime(msgId, at);
      this.#emit({ kind: 'begun', msgId, at });
    } else this.#onEnded(msgId);
  }

  /** Handles the reply of a task of this client. */
  onReply(message: AnyMessage): void {
    const msgId = parentId(message);
    if (msgId !== undefined) this.#onEnded(msgId);
  }

  onSubmitted(msgId: string): void {
    this.#emit({ kind: 'submitted', msgId });
  }

  onUnspecified(): void {
    this.#emit({ kind: 'unspecified' });
  }

  #onEnded(msgId: string): void {
    this.#beginTimes.delete(msgId);
    this.#emit({ kind: 'ended', msgId });
  }

  #storeBeginTime(msgId: string, at: Date): void {
    this.#beginTimes.delete(msgId);
    this.#beginTimes.set(msgId, at);
    if (this.#beginTimes.size <= MAX_BEGIN_TIMES) return;
    for (const oldest of this.#beginTimes.keys()) {
      this.#beginTimes.delete(oldest);
      return;
    }
  }

  #emit(signal: ChangeSignal): void {
    for (const listener of this.#listeners) listener(signal);
  }
}
