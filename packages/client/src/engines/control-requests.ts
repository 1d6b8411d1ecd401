import {
  type AnyMessage,
  ConnectionClosedError,
  type Dict,
  type MessageContents,
  type MsgType,
  parentId,
} from '@ipyparallel-js/protocol';
import { taskError } from '@ipyparallel-js/protocol/internal';
import { startDeadline, timeoutError, type WaitOptions, waitFor } from '@ipyparallel-js/wire';
import type { Transport } from '../connection/transport.js';
import { engineDied } from './engine-died.js';
import type { EngineInfo } from './engine-registry.js';

/** What engines are asked beside their work. */
export type ControlRequest =
  | 'kernel_info_request'
  | 'abort_request'
  | 'clear_request'
  | 'signal_request'
  | 'shutdown_request';

interface Pending {
  readonly engine: EngineInfo;
  readonly msgType: ControlRequest;
  readonly content: Dict;
  /** What it was sent as; undefined while it waits for a connection. */
  msgId: string | undefined;
  readonly resolve: (message: AnyMessage) => void;
  readonly reject: (reason: unknown) => void;
}

/** Requests to engines on the control socket, which answer beside their work and leave no record. */
export class ControlRequests {
  readonly #transport: Transport;
  readonly #defaultTimeout: number;
  readonly #pending = new Set<Pending>();
  readonly #sent = new Map<string, Pending>();
  #connected = true;

  constructor(transport: Transport, defaultTimeout: number) {
    this.#transport = transport;
    this.#defaultTimeout = defaultTimeout;
  }

  /**
   * Asks an engine. @throws TimeoutError, EngineError when the engine goes, RemoteError when it refuses,
   * ConnectionClosedError when the connection breaks before the answer
   */
  async request<T extends ControlRequest>(
    engine: EngineInfo,
    msgType: T,
    content: MessageContents[T & MsgType],
    options: WaitOptions = {},
  ): Promise<AnyMessage> {
    const deadline = startDeadline(options, this.#defaultTimeout);
    const reply = await waitFor<AnyMessage>(
      deadline,
      (waited) =>
        timeoutError(
          `no answer to ${msgType} from engine ${engine.id}`,
          waited,
          'an engine that computes in its only thread answers when it is done',
        ),
      (resolve, reject) => {
        const pending: Pending = { engine, msgType, content, resolve, reject, msgId: undefined };
        this.#pending.add(pending);
        if (this.#connected) this.#send(pending);
        return () => {
          this.#pending.delete(pending);
          if (pending.msgId !== undefined) this.#sent.delete(pending.msgId);
        };
      },
    );
    if (reply.content.status === 'error') {
      throw taskError(reply.content, { engineUuid: engine.uuid, engineId: engine.id });
    }
    return reply;
  }

  /** Takes a message of the control socket; false when nothing waits for it. */
  settle(message: AnyMessage): boolean {
    const pending = this.#sent.get(parentId(message) ?? '');
    pending?.resolve(message);
    return pending !== undefined;
  }

  /** An engine has gone: what it was asked is not answered any more. */
  onEngineGone(uuid: string): void {
    for (const { engine, msgId, msgType, reject } of [...this.#pending]) {
      if (engine.uuid === uuid) reject(engineDied(msgId ?? msgType, uuid, engine.id));
    }
  }

  /** There is a connection: what waits for one is asked. */
  onConnected(): void {
    this.#connected = true;
    for (const pending of [...this.#pending]) if (pending.msgId === undefined) this.#send(pending);
  }

  /** The connection broke: what only reads waits for the next one, the rest fails. */
  onDisconnected(): void {
    this.#connected = false;
    for (const pending of [...this.#pending]) {
      if (pending.msgId === undefined) continue;
      this.#sent.delete(pending.msgId);
      pending.msgId = undefined;
      if (pending.msgType === 'kernel_info_request') continue;
      pending.reject(
        new ConnectionClosedError(
          `the connection broke before the answer of engine ${pending.engine.id} to ${pending.msgType} came; whether that took place is unknown`,
        ),
      );
    }
  }

  /** Everything that waits fails. */
  failAll(error: Error): void {
    for (const { reject } of [...this.#pending]) reject(error);
  }

  #send(pending: Pending): void {
    // A message of its own each time: an engine takes a second one with the same signature for a replay.
    const message = this.#transport.session.rawMessage(pending.msgType, pending.content);
    pending.msgId = message.msg_id;
    this.#sent.set(message.msg_id, pending);
    this.#transport.send('control', message, [pending.engine.uuid]);
  }
}
