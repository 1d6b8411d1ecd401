import { pause } from '@ipyparallel-js/wire';
import type { Subscription } from 'rxjs';
import { type Submission, targetsOf } from '../connection/outbox.js';
import type { ControlRequests } from './control-requests.js';
import type { EngineInfo, EngineRegistry } from './engine-registry.js';

/** How long engines are expected to register again after a reconnection, in ms. */
export interface ReturnTimes {
  /** How long work bound to certain engines waits for them. */
  readonly registration: number;
  /** How long load-balanced work waits for any engine. */
  readonly anyEngine: number;
}

export interface ReturnEvents {
  /** Called when some of the held submissions may be sent. */
  onEnginesReturned(): void;
  /** Called when engines did not register again in time; `waitsFor` selects the submissions that wait for them. */
  onEnginesMissing(engines: readonly EngineInfo[], waitsFor: (work: Submission) => boolean): void;
  /** Called when no engine registered in time; `waitsFor` selects the submissions that wait for one. */
  onNoEngines(waitsFor: (work: Submission) => boolean): void;
}

/** How long an engine that a stock hub lists may take to reply, in ms; an engine that computes may not reply at all. */
const PROBE_MS = 5_000;
const FIRST_INTERVAL_MS = 300;
/** The time from an engine's first reply until all of its sockets are linked, in ms. */
const LINK_DELAY_MS = 500;

/**
 * The engines that were registered when the connection broke, until they register again or the wait for them ends. In
 * the meantime, work for them is accepted and held. A stock hub that restores its engines lists them before they are
 * linked, and its schedulers drop messages for peers that are not linked; therefore each engine is probed until it
 * replies.
 */
export class ReturningEngines {
  readonly #registry: EngineRegistry;
  readonly #control: ControlRequests;
  readonly #returnTimes: ReturnTimes;
  readonly #events: ReturnEvents;
  readonly #subscription: Subscription;
  /** Engines that were registered before and are not registered now. */
  readonly #absentEngines = new Map<string, EngineInfo>();
  /** Registered engines that may not be linked yet. */
  readonly #unlinkedIds = new Set<string>();
  /** All engines that were registered before; empty once any engine is registered, or none is expected any more. */
  readonly #expectedEngines = new Map<string, EngineInfo>();
  #isConnected = false;
  #isStockHub = false;
  #probeController = new AbortController();
  #registrationTimer: NodeJS.Timeout | undefined;
  #anyEngineTimer: NodeJS.Timeout | undefined;

  constructor(registry: EngineRegistry, control: ControlRequests, times: ReturnTimes, events: ReturnEvents) {
    this.#registry = registry;
    this.#control = control;
    this.#returnTimes = times;
    this.#events = events;
    this.#subscription = registry.engines$.subscribe(() => this.#onRegistryChange());
  }

  /** Whether an unregistered engine is expected to register again. */
  has(uuid: string): boolean {
    return this.#absentEngines.has(uuid) || this.#expectedEngines.has(uuid);
  }

  /** The unregistered engines to which work may still be submitted. */
  get absent(): readonly EngineInfo[] {
    return byId(this.#absentEngines);
  }

  /** While no engine is registered: the engines that were registered before. */
  get expected(): readonly EngineInfo[] {
    return byId(this.#expectedEngines);
  }

  /** Handles a broken connection. */
  onDisconnected(): void {
    this.#isConnected = false;
    this.#stop();
    for (const [id, uuid] of this.#registry.engines) this.#expectedEngines.set(uuid, { id, uuid });
  }

  /**
   * Handles a reconnection after the registry was updated; `missing` are the engines that are not registered any more.
   * `isStockHub`: the hub may list engines before they are linked. `isSameController`: the controller has not restarted.
   */
  onReconnected(
    missing: readonly string[],
    options: { readonly isStockHub: boolean; readonly isSameController: boolean },
  ): void {
    for (const uuid of missing) this.#absentEngines.set(uuid, { id: this.#registry.idOf(uuid) ?? -1, uuid });
    for (const uuid of [...this.#absentEngines.keys()])
      if (this.#registry.has(uuid)) this.#absentEngines.delete(uuid);
    this.#isConnected = true;
    this.#isStockHub = options.isStockHub;
    if (options.isStockHub) for (const uuid of this.#registry.engines.values()) this.#probe(uuid);
    if (this.#registry.ids.length > 0) this.#expectedEngines.clear();
    if (options.isSameController) this.#failAbsentEngines();
    else if (this.#absentEngines.size > 0)
      this.#registrationTimer = startTimer(this.#returnTimes.registration, () => this.#failAbsentEngines());
    if (this.#expectedEngines.size > 0)
      this.#anyEngineTimer = startTimer(this.#returnTimes.anyEngine, () => this.#failExpectedEngines());
  }

  /** Whether a submission must wait for engines. */
  mustWait(work: Submission): boolean {
    const { channel, idents } = work;
    if (this.#absentEngines.size === 0 && this.#unlinkedIds.size === 0 && this.#expectedEngines.size === 0)
      return false;
    const isUnreachable = (uuid: string): boolean =>
      this.#absentEngines.has(uuid) || this.#unlinkedIds.has(uuid);
    if (channel === 'mux') return isUnreachable(idents[0] ?? '');
    const targets = targetsOf(work);
    if (channel === 'broadcast') return targets.some(isUnreachable);
    // The scheduler may choose any engine.
    if (this.#unlinkedIds.size > 0) return true;
    if (targets.length === 0) return this.#expectedEngines.size > 0;
    return !targets.some((uuid) => this.#registry.has(uuid)) && targets.some(isUnreachable);
  }

  /** Stops all timers and probes. */
  close(): void {
    this.#stop();
    this.#subscription.unsubscribe();
    this.#absentEngines.clear();
    this.#expectedEngines.clear();
  }

  /** Handles a change of the registry. */
  #onRegistryChange(): void {
    if (!this.#isConnected) return;
    let hasChanged = false;
    for (const uuid of [...this.#absentEngines.keys()]) {
      if (!this.#registry.has(uuid)) continue;
      this.#absentEngines.delete(uuid);
      if (this.#isStockHub) this.#probe(uuid);
      hasChanged = true;
    }
    for (const uuid of [...this.#unlinkedIds]) {
      if (this.#registry.has(uuid)) continue;
      this.#unlinkedIds.delete(uuid);
      hasChanged = true;
    }
    if (this.#expectedEngines.size > 0 && this.#registry.ids.length > 0) {
      clearTimeout(this.#anyEngineTimer);
      this.#expectedEngines.clear();
      hasChanged = true;
    }
    if (hasChanged) this.#events.onEnginesReturned();
  }

  /** Probes an engine; work for it is held until it is linked. */
  #probe(uuid: string): void {
    this.#unlinkedIds.add(uuid);
    void this.#waitUntilLinked(uuid, this.#probeController.signal);
  }

  async #waitUntilLinked(uuid: string, stopSignal: AbortSignal): Promise<void> {
    const engine = { id: this.#registry.idOf(uuid) ?? -1, uuid };
    const replyController = new AbortController();
    const signal = AbortSignal.any([stopSignal, replyController.signal]);
    const request = (): void => {
      void this.#control
        .request(engine, 'kernel_info_request', {}, { timeout: PROBE_MS, signal })
        // Any reply shows that the engine is linked; without one the probe times out.
        .then(() => replyController.abort())
        .catch(() => undefined);
    };
    const endTime = performance.now() + PROBE_MS;
    for (let wait = FIRST_INTERVAL_MS; !signal.aborted && performance.now() < endTime; wait *= 2) {
      request();
      await pause(Math.min(wait, endTime - performance.now()), signal);
    }
    replyController.abort();
    await pause(LINK_DELAY_MS, stopSignal);
    if (stopSignal.aborted || !this.#unlinkedIds.delete(uuid)) return;
    this.#events.onEnginesReturned();
  }

  #failAbsentEngines(): void {
    const engines = this.absent;
    if (engines.length === 0) return;
    const waitsFor = (work: Submission): boolean => {
      const { channel, idents } = work;
      if (channel === 'mux') return this.#absentEngines.has(idents[0] ?? '');
      const targets = targetsOf(work);
      if (channel === 'broadcast') return targets.some((uuid) => this.#absentEngines.has(uuid));
      return targets.length > 0 && !targets.some((uuid) => this.#registry.has(uuid));
    };
    this.#events.onEnginesMissing(engines, waitsFor);
    this.#absentEngines.clear();
    this.#events.onEnginesReturned();
  }

  #failExpectedEngines(): void {
    this.#events.onNoEngines(({ channel }) => channel === 'task');
    this.#expectedEngines.clear();
  }

  #stop(): void {
    clearTimeout(this.#registrationTimer);
    clearTimeout(this.#anyEngineTimer);
    this.#probeController.abort();
    this.#probeController = new AbortController();
    this.#unlinkedIds.clear();
  }
}

function byId(engines: ReadonlyMap<string, EngineInfo>): EngineInfo[] {
  return [...engines.values()].sort((a, b) => a.id - b.id);
}

function startTimer(ms: number, onTimeout: () => void): NodeJS.Timeout | undefined {
  if (ms === Number.POSITIVE_INFINITY) return undefined;
  const timer = setTimeout(onTimeout, Math.min(ms, 2 ** 31 - 1));
  timer.unref();
  return timer;
}
