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

/** The types of control requests. */
export type ControlRequest =
  | 'kernel_info_request'
  | 'abort_request'
  | 'clear_request'
  | 'signal_request'
  | 'shutdown_request';

interface PendingRequest {
  readonly engine: EngineInfo;
  readonly msgType: ControlRequest;
  readonly content: Dict;
  /** The id of its message; undefined while it waits for a connection. */
  msgId: string | undefined;
  readonly resolve: (message: AnyMessage) => void;
  readonly reject: (reason: unknown) => void;
}

/** Sends requests to engines on the control socket. Engines reply independently of tasks, and the hub keeps no records. */
export class ControlRequests {
  readonly #transport: Transport;
  readonly #defaultTimeout: number;
  readonly #pendingRequests = new Set<PendingRequest>();
  readonly #sentRequests = new Map<string, PendingRequest>();
  #isConnected = true;

  constructor(transport: Transport, defaultTimeout: number) {
    this.#transport = transport;
    this.#defaultTimeout = defaultTimeout;
  }

  /**
   * Sends a request to an engine and waits for its reply.
   * @throws {TimeoutError} when the engine does not reply in time
   * @throws {EngineError} when the engine unregisters
   * @throws {RemoteError} when the engine refuses the request
   * @throws {ConnectionClosedError} when the connection breaks before the reply
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
          `no reply to ${msgType} from engine ${engine.id}`,
          waited,
          'an engine that computes in its only thread replies after its task',
        ),
      (resolve, reject) => {
        const pending: PendingRequest = { engine, msgType, content, resolve, reject, msgId: undefined };
        this.#pendingRequests.add(pending);
        if (this.#isConnected) this.#send(pending);
        return () => {
          this.#pendingRequests.delete(pending);
          if (pending.msgId !== undefined) this.#sentRequests.delete(pending.msgId);
        };
      },
    );
    if (reply.content.status === 'error') {
      throw taskError(reply.content, { engineUuid: engine.uuid, engineId: engine.id });
    }
    return reply;
  }

  /** Handles a message of the control socket. Returns false if no request waits for it. */
  settle(message: AnyMessage): boolean {
    const pending = this.#sentRequests.get(parentId(message) ?? '');
    pending?.resolve(message);
    return pending !== undefined;
  }

  /** Fails the requests to an engine that unregistered. */
  onEngineGone(uuid: string): void {
    for (const { engine, msgId, msgType, reject } of [...this.#pendingRequests]) {
      if (engine.uuid === uuid) reject(engineDied(msgId ?? msgType, uuid, engine.id));
    }
  }

  /** Sends the requests that waited for a connection. */
  onConnected(): void {
    this.#isConnected = true;
    for (const pending of [...this.#pendingRequests]) if (pending.msgId === undefined) this.#send(pending);
  }

  /** Handles a broken connection: requests that only read wait for the next connection, the others fail. */
  onDisconnected(): void {
    this.#isConnected = false;
    for (const pending of [...this.#pendingRequests]) {
      if (pending.msgId === undefined) continue;
      this.#sentRequests.delete(pending.msgId);
      pending.msgId = undefined;
      if (pending.msgType === 'kernel_info_request') continue;
      pending.reject(
        new ConnectionClosedError(
          `the connection broke before engine ${pending.engine.id} replied to ${pending.msgType}; the engine may have carried out the request`,
        ),
      );
    }
  }

  /** Fails all pending requests. */
  failAll(error: Error): void {
    for (const { reject } of [...this.#pendingRequests]) reject(error);
  }

  #send(pending: PendingRequest): void {
    // Each attempt needs a new message, because engines reject a repeated signature as a replay.
    const message = this.#transport.session.rawMessage(pending.msgType, pending.content);
    pending.msgId = message.msg_id;
    this.#sentRequests.set(message.msg_id, pending);
    this.#transport.send('control', message, [pending.engine.uuid]);
  }
}
