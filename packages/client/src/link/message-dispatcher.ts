import { type AnyMessage, type ClientChannel, isMessageOf } from '@ipyparallel-js/protocol';
import type { StatsCounters } from '../connection/traffic-stats.js';
import type { ControlRequests } from '../engines/control-requests.js';
import type { HubRequests } from '../hub/hub-requests.js';
import type { ChangeSignals } from '../live/change-signals.js';
import type { LiveQueries } from '../live/live-queries.js';
import type { EngineChanges } from '../tasks/engine-changes.js';
import type { FollowedTasks } from '../tasks/followed-tasks.js';
import type { SubmittedTasks } from '../tasks/submitted-tasks.js';
import type { Submitter } from '../views/submitter.js';

export interface MessageReceivers {
  readonly requests: HubRequests;
  readonly control: ControlRequests;
  readonly submittedTasks: SubmittedTasks;
  readonly followedTasks: FollowedTasks;
  readonly signals: ChangeSignals;
  readonly coalesced: Submitter['coalesced'];
  readonly inbox: LiveQueries['inbox'];
  readonly engineChanges: EngineChanges;
  readonly stats: StatsCounters;
  /** Called when the controller announces its shutdown. */
  readonly onShutdown: () => void;
}

/** Passes each verified message to the parts of the client that it concerns. */
export class MessageDispatcher {
  readonly #receivers: MessageReceivers;

  constructor(receivers: MessageReceivers) {
    this.#receivers = receivers;
  }

  dispatch(channel: ClientChannel, message: AnyMessage): void {
    const { requests, control, submittedTasks, followedTasks, signals, inbox, coalesced, stats } =
      this.#receivers;
    switch (channel) {
      case 'registration':
        if (inbox.deliver(message)) return;
        if (!requests.settle(message)) stats.unexpected++;
        return;
      case 'notification':
        this.#dispatchNotification(message);
        return;
      case 'iopub':
        submittedTasks.onOutput(message);
        signals.onOutput(message);
        followedTasks.onOutput(message);
        return;
      case 'control':
        if (!control.settle(message)) stats.unexpected++;
        return;
      default:
        if (!(coalesced.handleReply(message) || submittedTasks.onReply(message))) stats.unexpected++;
        signals.onReply(message);
    }
  }

  #dispatchNotification(message: AnyMessage): void {
    const { onShutdown, signals, engineChanges } = this.#receivers;
    if (isMessageOf(message, 'shutdown_notification')) {
      onShutdown();
      return;
    }
    signals.onUnspecified();
    const { id, uuid } = message.content;
    if (typeof id !== 'number' || typeof uuid !== 'string') return;
    if (isMessageOf(message, 'registration_notification')) engineChanges.added(id, uuid);
    else if (isMessageOf(message, 'unregistration_notification')) engineChanges.removed(id, uuid);
  }
}
