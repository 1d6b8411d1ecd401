import type { Dict, Header, MessageContents, MsgType, Session } from '@ipyparallel-js/protocol';
import type { MessageSocket } from '@ipyparallel-js/wire';
import { toWellFormedText } from '../common/well-formed-text.js';

type IopubType = MsgType &
  ('status' | 'stream' | 'execute_input' | 'execute_result' | 'error' | 'data_message' | 'shutdown_reply');

/** Publishes one engine's messages on iopub, under `engine.<id>.<topic>`. */
export class Publisher {
  readonly #session: Session;
  readonly #link: MessageSocket;
  readonly #id: number;

  constructor(session: Session, link: MessageSocket, id: number) {
    this.#session = session;
    this.#link = link;
    this.#id = id;
  }

  publishStatus(state: 'busy' | 'idle' | 'starting', parent: Header | Dict): void {
    this.#publish('status', 'status', { execution_state: state }, parent);
  }

  publishStream(name: 'stdout' | 'stderr', text: string, parent: Header | Dict): void {
    this.#publish(name, 'stream', { name, text: toWellFormedText(text) }, parent);
  }

  publishExecuteInput(code: string, count: number, parent: Header | Dict): void {
    this.#publish('execute_input', 'execute_input', { code, execution_count: count }, parent);
  }

  publishExecuteResult(text: string, count: number, parent: Header | Dict): void {
    const content = { data: { 'text/plain': toWellFormedText(text) }, metadata: {}, execution_count: count };
    this.#publish('execute_result', 'execute_result', content, parent);
  }

  publishError(content: MessageContents['error'], parent: Header | Dict): void {
    this.#publish('error', 'error', content, parent);
  }

  /** Publishes data of a running task. */
  publishData(content: Dict, buffers: readonly Uint8Array[], parent: Header | Dict): void {
    this.#publish('data', 'data_message', content, parent, buffers);
  }

  /** Stock hubs unregister the engine when they receive this. */
  publishShutdownReply(restart: boolean, parent: Header | Dict): void {
    this.#publish('shutdown', 'shutdown_reply', { status: 'ok', restart }, parent);
  }

  #publish<T extends IopubType>(
    topic: string,
    msgType: T,
    content: MessageContents[T],
    parent: Header | Dict,
    buffers: readonly Uint8Array[] = [],
  ): void {
    const message = this.#session.message(msgType, content, {
      parent,
      buffers,
      metadata: { engine: this.#session.session },
    });
    this.#link.send(this.#session.encode(message, [`engine.${this.#id}.${topic}`]));
  }
}
