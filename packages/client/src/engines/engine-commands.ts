import {
  ConnectionClosedError,
  EngineError,
  type MessageContents,
  type MsgType,
  UsageError,
} from '@ipyparallel-js/protocol';
import { checkOptions, type OptionNames } from '@ipyparallel-js/protocol/internal';
import { startDeadline, WAIT_OPTIONS, type WaitOptions } from '@ipyparallel-js/wire';
import type { QueueStatus } from '../hub/hub-operations.js';
import type { HubRequests } from '../hub/hub-requests.js';
import type { WaitingWork } from '../tasks/unsent-work.js';
import type { ControlRequest, ControlRequests } from './control-requests.js';
import type { TargetFinder, Targets } from './targets.js';

/** Options of what is asked of engines. */
export interface CommandOptions extends WaitOptions {
  /** Which engines; all by default. */
  readonly targets?: Targets;
}

export const COMMAND_OPTIONS: OptionNames<CommandOptions> = { targets: true, ...WAIT_OPTIONS };

/** Options of `shutdown`. */
export interface ShutdownOptions extends CommandOptions {
  /** Ends the controller, too, once all engines have been told; then `targets` counts for nothing. */
  readonly hub?: boolean;
}

const SHUTDOWN_OPTIONS: OptionNames<ShutdownOptions> = { hub: true, ...COMMAND_OPTIONS };

/** The parts of a client that commands go through. */
interface CommandsLink {
  readonly submitter: { readonly targets: TargetFinder };
  readonly control: ControlRequests;
  readonly requests: HubRequests;
  readonly waiting: WaitingWork;
}

/** What is asked of engines beside their work. Each waits for the engines' answers. */
export class EngineCommands {
  readonly #targets: TargetFinder;
  readonly #control: ControlRequests;
  readonly #requests: HubRequests;
  readonly #waiting: WaitingWork;
  readonly #queues: (ids: readonly number[], options: WaitOptions) => Promise<QueueStatus<unknown>>;

  /** `queues` asks the hub for the ids of what engines have to do. */
  constructor(
    { submitter, control, requests, waiting }: CommandsLink,
    queues: (ids: readonly number[], options: WaitOptions) => Promise<QueueStatus<unknown>>,
  ) {
    this.#targets = submitter.targets;
    this.#control = control;
    this.#requests = requests;
    this.#waiting = waiting;
    this.#queues = queues;
  }

  /** Aborts tasks that wait, by their ids. */
  async abort(msgIds: readonly string[], options: CommandOptions): Promise<void> {
    checkOptions(options, COMMAND_OPTIONS, 'abort');
    const sent = this.#waiting.abort(msgIds);
    // No ids would mean all, on the wire.
    if (sent.length > 0) await this.#each(options, 'abort_request', { msg_ids: sent });
  }

  /**
   * Aborts all that waits at engines, whoever submitted it, and these tasks, which may not be there yet. All by their ids:
   * Python engines say yes to an abort of all, and then run what they have.
   */
  async abortAll(msgIds: readonly string[], command: CommandOptions): Promise<void> {
    checkOptions(command, COMMAND_OPTIONS, 'abort');
    const { targets, ...options } = command;
    const ids = this.#targets.engines(targets ?? 'all').map(({ id }) => id);
    const { engines } = await this.#queues(ids, options);
    await Promise.all(
      ids.map((id) => {
        const waiting = [engines[id]?.queue, engines[id]?.tasks]
          .flat()
          .filter((each) => typeof each === 'string');
        return this.abort([...new Set([...waiting, ...msgIds])], { ...options, targets: id });
      }),
    );
  }

  async clear(options: CommandOptions): Promise<void> {
    checkOptions(options, COMMAND_OPTIONS, 'clear');
    await this.#each(options, 'clear_request', {});
  }

  async signal(sig: number | NodeJS.Signals, options: CommandOptions): Promise<void> {
    checkOptions(options, COMMAND_OPTIONS, 'sendSignal');
    await this.#each(options, 'signal_request', { sig });
  }

  /** Tells engines to end, and then perhaps the controller. An engine that has gone before it answered has ended. */
  async shutdown(command: ShutdownOptions): Promise<void> {
    if ('restart' in command && command.restart === true) {
      throw new UsageError(
        'engines cannot be restarted over the wire; start new ones (Cluster.startEngines)',
      );
    }
    checkOptions(command, SHUTDOWN_OPTIONS, 'shutdown');
    const { hub = false, ...options } = command;
    try {
      await this.#each(
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
      await this.#requests.request('shutdown_request', {}, options);
    } catch (error) {
      // Its notice that it ends may be here before its answer.
      if (!(error instanceof ConnectionClosedError)) throw error;
    }
  }

  async #each<M extends ControlRequest>(
    options: CommandOptions,
    msgType: M,
    content: MessageContents[M & MsgType],
    forgives: (error: unknown) => boolean = () => false,
  ): Promise<void> {
    const engines = this.#targets.engines(options.targets ?? 'all');
    startDeadline(options, 0);
    const answers = engines.map((engine) => this.#control.request(engine, msgType, content, options));
    const settled = await Promise.allSettled(answers);
    for (const answer of settled) {
      if (answer.status === 'rejected' && !forgives(answer.reason)) throw answer.reason;
    }
  }
}
