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
  readonly any: number;
}

export interface ReturnEvents {
  /** Some of the held submissions may be sent. */
  onBack(): void;
  /** Engines did not register again in time; `waitsFor` selects the submissions that wait for them. */
  onMissed(engines: readonly EngineInfo[], waitsFor: (work: Submission) => boolean): void;
  /** No engine registered in time; `waitsFor` selects the submissions that wait for one. */
  onNone(waitsFor: (work: Submission) => boolean): void;
}

/** How long an engine that a stock hub lists may take to reply, in ms; an engine that computes may not reply at all. */
const PROBE_MS = 5_000;
const FIRST_INTERVAL_MS = 300;
/** The time from an engine's first reply until all of its sockets are linked, in ms. */
const LINKS_MS = 500;

/**
 * The engines that were registered when the connection broke, until they register again or are given up. Work for them is
 * accepted and held in the meantime. A stock hub that restores its engines lists them before they are linked, and its
 * schedulers drop messages for peers that are not linked; therefore each engine is probed until it replies.
 */
export class ReturningEngines {
  readonly #registry: EngineRegistry;
  readonly #control: ControlRequests;
  readonly #times: ReturnTimes;
  readonly #events: ReturnEvents;
  readonly #watching: Subscription;
  /** Engines that were registered before and are not registered now. */
  readonly #absent = new Map<string, EngineInfo>();
  /** Registered engines that may not be linked yet. */
  readonly #unlinked = new Set<string>();
  /** All engines that were registered before; empty once any engine is registered, or none is expected any more. */
  readonly #expected = new Map<string, EngineInfo>();
  #connected = false;
  #stock = false;
  #probing = new AbortController();
  #missed: NodeJS.Timeout | undefined;
  #none: NodeJS.Timeout | undefined;

  constructor(registry: EngineRegistry, control: ControlRequests, times: ReturnTimes, events: ReturnEvents) {
    this.#registry = registry;
    this.#control = control;
    this.#times = times;
    this.#events = events;
    this.#watching = registry.engines$.subscribe(() => this.#onRegistryChange());
  }

  /** Whether an unregistered engine is expected to register again. */
  has(uuid: string): boolean {
    return this.#absent.has(uuid) || this.#expected.has(uuid);
  }

  /** The unregistered engines to which work may still be submitted. */
  get absent(): readonly EngineInfo[] {
    return byId(this.#absent);
  }

  /** While no engine is registered: the engines that were registered before. */
  get expected(): readonly EngineInfo[] {
    return byId(this.#expected);
  }

  /** Handles a broken connection. */
  onDown(): void {
    this.#connected = false;
    this.#stop();
    for (const [id, uuid] of this.#registry.engines) this.#expected.set(uuid, { id, uuid });
  }

  /**
   * Handles a reconnection after the registry was updated; `missing` are the engines that are not registered any more.
   * `stock`: the hub may list engines before they are linked. `same`: the controller has not restarted.
   */
  onUp(missing: readonly string[], options: { readonly stock: boolean; readonly same: boolean }): void {
    for (const uuid of missing) this.#absent.set(uuid, { id: this.#registry.idOf(uuid) ?? -1, uuid });
    for (const uuid of [...this.#absent.keys()]) if (this.#registry.has(uuid)) this.#absent.delete(uuid);
    this.#connected = true;
    this.#stock = options.stock;
    if (options.stock) for (const uuid of this.#registry.engines.values()) this.#probe(uuid);
    if (this.#registry.ids.length > 0) this.#expected.clear();
    if (options.same) this.#giveUpAbsent();
    else if (this.#absent.size > 0)
      this.#missed = startTimer(this.#times.registration, () => this.#giveUpAbsent());
    if (this.#expected.size > 0) this.#none = startTimer(this.#times.any, () => this.#giveUpExpected());
  }

  /** Whether a submission must wait for engines. */
  awaits(work: Submission): boolean {
    const { channel, idents } = work;
    if (this.#absent.size === 0 && this.#unlinked.size === 0 && this.#expected.size === 0) return false;
    const away = (uuid: string): boolean => this.#absent.has(uuid) || this.#unlinked.has(uuid);
    if (channel === 'mux') return away(idents[0] ?? '');
    const targets = targetsOf(work);
    if (channel === 'broadcast') return targets.some(away);
    // The scheduler may choose any engine.
    if (this.#unlinked.size > 0) return true;
    if (targets.length === 0) return this.#expected.size > 0;
    return !targets.some((uuid) => this.#registry.has(uuid)) && targets.some(away);
  }

  /** Stops all timers and probes. */
  close(): void {
    this.#stop();
    this.#watching.unsubscribe();
    this.#absent.clear();
    this.#expected.clear();
  }

  /** Handles a change of the registry. */
  #onRegistryChange(): void {
    if (!this.#connected) return;
    let changed = false;
    for (const uuid of [...this.#absent.keys()]) {
      if (!this.#registry.has(uuid)) continue;
      this.#absent.delete(uuid);
      if (this.#stock) this.#probe(uuid);
      changed = true;
    }
    for (const uuid of [...this.#unlinked]) {
      if (this.#registry.has(uuid)) continue;
      this.#unlinked.delete(uuid);
      changed = true;
    }
    if (this.#expected.size > 0 && this.#registry.ids.length > 0) {
      clearTimeout(this.#none);
      this.#expected.clear();
      changed = true;
    }
    if (changed) this.#events.onBack();
  }

  /** Probes an engine; work for it is held until it is linked. */
  #probe(uuid: string): void {
    this.#unlinked.add(uuid);
    void this.#untilLinked(uuid, this.#probing.signal);
  }

  async #untilLinked(uuid: string, ended: AbortSignal): Promise<void> {
    const engine = { id: this.#registry.idOf(uuid) ?? -1, uuid };
    const over = new AbortController();
    const signal = AbortSignal.any([ended, over.signal]);
    const request = (): void => {
      void this.#control
        .request(engine, 'kernel_info_request', {}, { timeout: PROBE_MS, signal })
        // Any reply shows that the engine is linked; without one the probe times out.
        .then(() => over.abort())
        .catch(() => undefined);
    };
    const ends = performance.now() + PROBE_MS;
    for (let wait = FIRST_INTERVAL_MS; !signal.aborted && performance.now() < ends; wait *= 2) {
      request();
      await pause(Math.min(wait, ends - performance.now()), signal);
    }
    over.abort();
    await pause(LINKS_MS, ended);
    if (ended.aborted || !this.#unlinked.delete(uuid)) return;
    this.#events.onBack();
  }

  #giveUpAbsent(): void {
    const engines = this.absent;
    if (engines.length === 0) return;
    const waitsFor = (work: Submission): boolean => {
      const { channel, idents } = work;
      if (channel === 'mux') return this.#absent.has(idents[0] ?? '');
      const targets = targetsOf(work);
      if (channel === 'broadcast') return targets.some((uuid) => this.#absent.has(uuid));
      return targets.length > 0 && !targets.some((uuid) => this.#registry.has(uuid));
    };
    this.#events.onMissed(engines, waitsFor);
    this.#absent.clear();
    this.#events.onBack();
  }

  #giveUpExpected(): void {
    this.#events.onNone(({ channel }) => channel === 'task');
    this.#expected.clear();
  }

  #stop(): void {
    clearTimeout(this.#missed);
    clearTimeout(this.#none);
    this.#probing.abort();
    this.#probing = new AbortController();
    this.#unlinked.clear();
  }
}

function byId(engines: ReadonlyMap<string, EngineInfo>): EngineInfo[] {
  return [...engines.values()].sort((a, b) => a.id - b.id);
}

function startTimer(ms: number, then: () => void): NodeJS.Timeout | undefined {
  if (ms === Number.POSITIVE_INFINITY) return undefined;
  const timer = setTimeout(then, Math.min(ms, 2 ** 31 - 1));
  timer.unref();
  return timer;
}
