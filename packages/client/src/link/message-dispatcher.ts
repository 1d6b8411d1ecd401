import { type AnyMessage, type ClientChannel, isMessageOf } from '@ipyparallel-js/protocol';
import type { StatsCounters } from '../connection/traffic-stats.js';
import type { ControlRequests } from '../engines/control-requests.js';
import type { HubRequests } from '../hub/hub-requests.js';
import type { ChangeSignals } from '../live/change-signals.js';
import type { LiveQueries } from '../live/live-queries.js';
import type { EngineChanges } from '../tasks/engine-changes.js';
import type { HubTasks } from '../tasks/hub-tasks.js';
import type { OwnTasks } from '../tasks/own-tasks.js';
import type { Submitter } from '../views/submitter.js';

/** Who gets what a client hears. */
export interface Receivers {
  readonly requests: HubRequests;
  readonly control: ControlRequests;
  readonly own: OwnTasks;
  readonly others: HubTasks;
  readonly signals: ChangeSignals;
  readonly coalesced: Submitter['coalesced'];
  readonly inbox: LiveQueries['inbox'];
  readonly engines: EngineChanges;
  readonly stats: StatsCounters;
  /** The controller has said that it stops. */
  readonly onShutdown: () => void;
}

/** Hands each verified message to whom it concerns. */
export class Incoming {
  readonly #to: Receivers;

  constructor(receivers: Receivers) {
    this.#to = receivers;
  }

  onMessage(channel: ClientChannel, message: AnyMessage): void {
    const { requests, control, own, others, signals, inbox, coalesced, stats } = this.#to;
    switch (channel) {
      case 'registration':
        if (inbox.take(message)) return;
        if (!requests.settle(message)) stats.unexpected++;
        return;
      case 'notification':
        this.#onNotification(message);
        return;
      case 'iopub':
        own.onOutput(message);
        signals.onOutput(message);
        others.onOutput(message);
        return;
      case 'control':
        if (!control.settle(message)) stats.unexpected++;
        return;
      default:
        if (!(coalesced.take(message) || own.onReply(message))) stats.unexpected++;
        signals.onReply(message);
    }
  }

  #onNotification(message: AnyMessage): void {
    if (isMessageOf(message, 'shutdown_notification')) {
      this.#to.onShutdown();
      return;
    }
    this.#to.signals.onUnspecified();
    const { id, uuid } = message.content;
    if (typeof id !== 'number' || typeof uuid !== 'string') return;
    if (isMessageOf(message, 'registration_notification')) this.#to.engines.came(id, uuid);
    else if (isMessageOf(message, 'unregistration_notification')) this.#to.engines.went(id, uuid);
  }
}
