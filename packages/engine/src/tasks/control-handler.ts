import { constants } from 'node:os';
import type { AnyMessage, Dict, Session } from '@ipyparallel-js/protocol';
import { describe, getOwn } from '@ipyparallel-js/protocol/internal';
import type { Logger } from '@ipyparallel-js/wire';
import type { Publisher } from './publisher.js';
import { type EngineIdentity, engineInfo } from './reply-metadata.js';
import type { TaskRunner } from './task-runner.js';

export interface ControlOptions {
  readonly session: Session;
  readonly publisher: Publisher;
  readonly engine: EngineIdentity;
  readonly runner: TaskRunner;
  readonly log: Logger;
  readonly version: string;
  /** Ends the engine; called after the reply to a shutdown_request is sent. */
  readonly onShutdown: () => void;
}

/** Handles control requests immediately, also while code runs. */
export class ControlHandler {
  readonly #options: ControlOptions;

  constructor(options: ControlOptions) {
    this.#options = options;
  }

  async handle(request: AnyMessage, send: (frames: Buffer[]) => void): Promise<void> {
    const { publisher, log } = this.#options;
    const execute = this.#handlerOf(request);
    if (execute === undefined) {
      log.debug(`ignored a ${request.msg_type} on control`);
      return;
    }
    publisher.publishStatus('busy', request.header);
    let content: Dict;
    try {
      content = await execute();
    } catch (error) {
      content = this.#errorContentOf(error, request.msg_type);
    }
    this.#reply(request, content, send);
    if (request.msg_type === 'shutdown_request') {
      publisher.publishShutdownReply(content.restart === true, request.header);
    }
    publisher.publishStatus('idle', request.header);
    if (request.msg_type === 'shutdown_request') this.#options.onShutdown();
  }

  /** Replies to a kernel_info_request, on any socket. */
  replyKernelInfo(request: AnyMessage, send: (frames: Buffer[]) => void): void {
    this.#reply(request, kernelInfo(this.#options.version), send);
  }

  #handlerOf({ msg_type: msgType, content }: AnyMessage): (() => Dict | Promise<Dict>) | undefined {
    const { runner, version } = this.#options;
    switch (msgType) {
      case 'kernel_info_request':
        return () => kernelInfo(version);
      case 'abort_request':
        return () => {
          runner.abort(requestedIds(content));
          return { status: 'ok' };
        };
      case 'clear_request':
        return async () => {
          await runner.clear();
          return { status: 'ok' };
        };
      case 'signal_request':
        return () => this.#signal(getOwn(content, 'sig'));
      case 'interrupt_request':
        return () => this.#signal('SIGINT');
      case 'shutdown_request':
        return () => ({ status: 'ok', restart: getOwn(content, 'restart') === true });
      default:
        return undefined;
    }
  }

  /** SIGINT interrupts the running code. Any other signal goes to the kernel process and may end the engine. */
  #signal(sig: unknown): Dict {
    const number = signalNumber(sig);
    if (number === constants.signals.SIGINT) this.#options.runner.interrupt();
    else this.#options.runner.signal(number);
    return { status: 'ok' };
  }

  #errorContentOf(error: unknown, msgType: string): Dict {
    const ename = error instanceof Error ? error.name : 'Error';
    const evalue = error instanceof Error ? error.message : String(error);
    const method = msgType.replace(/_request$/, '');
    return {
      status: 'error',
      ename,
      evalue,
      traceback: [`${ename}: ${evalue}`],
      engine_info: engineInfo(this.#options.engine, method),
    };
  }

  #reply(request: AnyMessage, content: Dict, send: (frames: Buffer[]) => void): void {
    const { session, engine } = this.#options;
    const message = session.rawMessage(request.msg_type.replace(/_request$/, '_reply'), content, {
      parent: request.header,
      metadata: { engine: engine.uuid },
    });
    send(session.encode(message, request.idents));
  }
}

/** Returns undefined, which means all tasks, when the request lists no ids, as Python's engines do. */
function requestedIds(content: Dict): readonly string[] | undefined {
  const ids = getOwn(content, 'msg_ids');
  const list = (Array.isArray(ids) ? ids : [ids]).filter(
    (id): id is string => typeof id === 'string' && id !== '',
  );
  return list.length === 0 && (!Array.isArray(ids) || ids.length === 0) ? undefined : list;
}

function signalNumber(sig: unknown): number {
  if (typeof sig === 'string' && Object.hasOwn(constants.signals, sig)) {
    return constants.signals[sig as NodeJS.Signals];
  }
  if (typeof sig === 'number' && Number.isInteger(sig) && sig >= 0 && sig <= 64) return sig;
  throw new RangeError(
    `the signal must be a name such as SIGINT, or an integer from 0 to 64, got ${describe(sig)}`,
  );
}

function kernelInfo(version: string): Dict {
  return {
    status: 'ok',
    protocol_version: '5.3',
    implementation: 'ipyparallel-js',
    implementation_version: version,
    language_info: {
      name: 'javascript',
      version: process.version.slice(1),
      mimetype: 'text/javascript',
      file_extension: '.js',
      pygments_lexer: 'javascript',
      codemirror_mode: 'javascript',
      nbconvert_exporter: '',
    },
    banner: `ipyparallel-js ${version}, a JavaScript engine on Node ${process.version}`,
    help_links: [],
  };
}
