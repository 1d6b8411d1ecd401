import { type AnyMessage, type MessageContents, type MsgType, parentId } from '@ipyparallel-js/protocol';
import { taskError } from '@ipyparallel-js/protocol/internal';
import { startDeadline, timeoutError, type WaitOptions, waitFor } from '@ipyparallel-js/wire';
import type { EngineInfo } from './engine-registry.js';
import { engineDied } from './task-results.js';
import type { Transport } from './transport.js';

/** What engines are asked beside their work. */
export type ControlRequest =
  | 'kernel_info_request'
  | 'abort_request'
  | 'clear_request'
  | 'signal_request'
  | 'shutdown_request';

interface Pending {
  readonly engine: EngineInfo;
  readonly resolve: (message: AnyMessage) => void;
  readonly reject: (reason: unknown) => void;
}

/** Requests to engines on the control socket, which answer beside their work and leave no record. */
export class ControlRequests {
  readonly #transport: Transport;
  readonly #defaultTimeout: number;
  readonly #pending = new Map<string, Pending>();

  constructor(transport: Transport, defaultTimeout: number) {
    this.#transport = transport;
    this.#defaultTimeout = defaultTimeout;
  }

  /** Asks an engine. @throws TimeoutError, EngineError when the engine goes, RemoteError when it refuses */
  async request<T extends ControlRequest>(
    engine: EngineInfo,
    msgType: T,
    content: MessageContents[T & MsgType],
    options: WaitOptions = {},
  ): Promise<AnyMessage> {
    const deadline = startDeadline(options, this.#defaultTimeout);
    const message = this.#transport.session.message(msgType, content);
    const reply = await waitFor<AnyMessage>(
      deadline,
      (waited) =>
        timeoutError(
          `no answer to ${msgType} from engine ${engine.id}`,
          waited,
          'an engine that computes in its only thread answers when it is done',
        ),
      (resolve, reject) => {
        this.#pending.set(message.msg_id, { engine, resolve, reject });
        this.#transport.send('control', message, [engine.uuid]);
        return () => this.#pending.delete(message.msg_id);
      },
    );
    if (reply.content.status === 'error') {
      throw taskError(reply.content, { engineUuid: engine.uuid, engineId: engine.id });
    }
    return reply;
  }

  /** Takes a message of the control socket; false when nothing waits for it. */
  settle(message: AnyMessage): boolean {
    const pending = this.#pending.get(parentId(message) ?? '');
    pending?.resolve(message);
    return pending !== undefined;
  }

  /** An engine has gone: what it was asked is not answered any more. */
  onEngineGone(uuid: string): void {
    for (const [id, { engine, reject }] of [...this.#pending]) {
      if (engine.uuid === uuid) reject(engineDied(id, uuid, engine.id));
    }
  }

  /** Everything that waits fails. */
  failAll(error: Error): void {
    for (const { reject } of [...this.#pending.values()]) reject(error);
  }
}
