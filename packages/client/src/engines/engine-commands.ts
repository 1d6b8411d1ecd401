import {
  ConnectionClosedError,
  EngineError,
  type MessageContents,
  type MsgType,
  UsageError,
} from '@ipyparallel-js/protocol';
import { checkOptions, type OptionNames } from '@ipyparallel-js/protocol/internal';
import { startDeadline, WAIT_OPTIONS, type WaitOptions } from '@ipyparallel-js/wire';
import type { HubOperations } from '../hub/hub-operations.js';
import type { HubRequests } from '../hub/hub-requests.js';
import type { ControlRequest, ControlRequests } from './control-requests.js';
import type { EngineRegistry } from './engine-registry.js';
import type { TargetFinder, Targets } from './targets.js';

/** Options of commands to engines. */
export interface CommandOptions extends WaitOptions {
  /** The engines; all by default. */
  readonly targets?: Targets;
}

export const COMMAND_OPTIONS: OptionNames<CommandOptions> = { targets: true, ...WAIT_OPTIONS };

/** Options of `shutdown`. */
export interface ShutdownOptions extends CommandOptions {
  /** Shuts down all engines, regardless of `targets`, and then the controller; false by default. */
  readonly hub?: boolean;
}

const SHUTDOWN_OPTIONS: OptionNames<ShutdownOptions> = { hub: true, ...COMMAND_OPTIONS };

export interface EngineCommandsParts {
  readonly targets: TargetFinder;
  readonly registry: EngineRegistry;
  readonly control: ControlRequests;
  readonly requests: HubRequests;
  readonly operations: HubOperations;
  /** The tasks that have not been sent yet. */
  readonly unsentWork: UnsentTasks;
}

interface UnsentTasks {
  /** Aborts the tasks among these that have not been sent. Returns the ids of the others. */
  abort(msgIds: readonly string[]): string[];
}

/** Commands to engines, other than tasks. Each command waits for the replies of all its engines. */
export class EngineCommands {
  readonly #parts: EngineCommandsParts;

  constructor(parts: EngineCommandsParts) {
    this.#parts = parts;
  }

  /** Aborts queued tasks by id. */
  async abort(msgIds: readonly string[], options: CommandOptions): Promise<void> {
    checkOptions(options, COMMAND_OPTIONS, 'abort');
    const sentIds = this.#parts.unsentWork.abort(msgIds);
    // On the wire, an empty list means all tasks.
    if (sentIds.length > 0) await this.#requestEach(options, 'abort_request', { msg_ids: sentIds });
  }

  /**
   * Aborts all tasks that are queued at engines, of every client, and `msgIds`, which may not be queued there yet. The
   * requests list ids, because Python engines confirm an abort without ids and then run their queue.
   */
  async abortAll(msgIds: readonly string[], command: CommandOptions): Promise<void> {
    checkOptions(command, COMMAND_OPTIONS, 'abort');
    const { targets, ...options } = command;
    const ids = this.#parts.targets.engines(targets ?? 'all').map(({ id }) => id);
    const { engines } = await this.#parts.operations.queueStatus(ids, true, options);
    await Promise.all(
      ids.map((id) => {
        const queued = [engines[id]?.queue, engines[id]?.tasks]
          .flat()
          .filter((each) => typeof each === 'string');
        return this.abort([...new Set([...queued, ...msgIds])], { ...options, targets: id });
      }),
    );
  }

  /** The queue status of one engine for an id, else that of all `targets`. */
  async queueStatus(
    targets: Targets,
    options: WaitOptions & { readonly verbose?: boolean },
  ): Promise<unknown> {
    const ids = targets === 'all' ? this.#parts.registry.ids : [targets].flat();
    for (const id of ids) this.#parts.targets.engine(id);
    const status = await this.#parts.operations.queueStatus(ids, options.verbose === true, options);
    return typeof targets === 'number' ? status.engines[targets] : status;
  }

  async clear(options: CommandOptions): Promise<void> {
    checkOptions(options, COMMAND_OPTIONS, 'clear');
    await this.#requestEach(options, 'clear_request', {});
  }

  async signal(sig: number | NodeJS.Signals, options: CommandOptions): Promise<void> {
    checkOptions(options, COMMAND_OPTIONS, 'sendSignal');
    await this.#requestEach(options, 'signal_request', { sig });
  }

  /** Shuts down engines, and with `hub` the controller. An engine that unregisters before it replies has shut down. */
  async shutdown(command: ShutdownOptions): Promise<void> {
    if ('restart' in command && command.restart === true) {
      throw new UsageError(
        'engines cannot be restarted over the wire; start new ones with Cluster.startEngines',
      );
    }
    checkOptions(command, SHUTDOWN_OPTIONS, 'shutdown');
    const { hub = false, ...options } = command;
    try {
      await this.#requestEach(
        hub ? { ...options, targets: 'all' } : options,
        'shutdown_request',
        { restart: false },
        (error) => error instanceof EngineError,
      );
    } catch (error) {
      // A controller without engines can be shut down, too.
      if (!(hub && error instanceof UsageError)) throw error;
    }
    if (!hub) return;
    try {
      await this.#parts.requests.request('shutdown_request', {}, options);
    } catch (error) {
      // The controller's shutdown notification may arrive before its reply.
      if (!(error instanceof ConnectionClosedError)) throw error;
    }
  }

  async #requestEach<M extends ControlRequest>(
    options: CommandOptions,
    msgType: M,
    content: MessageContents[M & MsgType],
    isExpected: (error: unknown) => boolean = () => false,
  ): Promise<void> {
    const { targets, control } = this.#parts;
    const engines = targets.engines(options.targets ?? 'all');
    // Throws for invalid options before any request is sent.
    startDeadline(options, 0);
    const replies = engines.map((engine) => control.request(engine, msgType, content, options));
    for (const reply of await Promise.allSettled(replies)) {
      if (reply.status === 'rejected' && !isExpected(reply.reason)) throw reply.reason;
    }
  }
}
