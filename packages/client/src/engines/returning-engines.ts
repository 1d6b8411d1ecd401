import { pause } from '@ipyparallel-js/wire';
import type { Subscription } from 'rxjs';
import { type Submission, targetsOf } from '../connection/outbox.js';
import type { ControlRequests } from './control-requests.js';
import type { EngineInfo, EngineRegistry } from './engine-registry.js';

/** For how long engines are counted on once the controller is back, in ms. */
export interface ReturnTimes {
  /** That they register again: work bound to them waits so long. */
  readonly registration: number;
  /** That any engine is there: load-balanced work waits so long. */
  readonly any: number;
}

/** Who is told. */
export interface ReturnEvents {
  /** Some of what waited may go. */
  onBack(): void;
  /** These have not registered again in time; `held` tells what waits for them. */
  onMissed(engines: readonly EngineInfo[], held: (work: Submission) => boolean): void;
  /** No engine at all has come in time; `held` tells what waits for one. */
  onNone(held: (work: Submission) => boolean): void;
}

/** How long an engine that a stock hub lists may take to answer, in ms; one that computes may not answer at all. */
const HEARING_MS = 5_000;
const FIRST_QUESTION_MS = 300;
/** From an engine's first answer until all of its sockets are linked again, in ms. */
const LINKS_MS = 500;

/**
 * The engines that were there when the connection broke, from then until they are back at the controller or are given
 * up: work for them is taken meanwhile, and waits. A stock hub that has its engines restored lists them before they are
 * linked, and its schedulers drop what is for a peer that is not there; so each is asked until it answers.
 */
export class ReturningEngines {
  readonly #registry: EngineRegistry;
  readonly #control: ControlRequests;
  readonly #times: ReturnTimes;
  readonly #events: ReturnEvents;
  readonly #watching: Subscription;
  /** Known before, and not registered now. */
  readonly #absent = new Map<string, EngineInfo>();
  /** Registered, and not known to be linked. */
  readonly #unheard = new Set<string>();
  /** All that were known before; empty once there is an engine, or none is expected any more. */
  readonly #expected = new Map<string, EngineInfo>();
  #connected = false;
  #stock = false;
  #hearing = new AbortController();
  #missed: NodeJS.Timeout | undefined;
  #none: NodeJS.Timeout | undefined;

  constructor(registry: EngineRegistry, control: ControlRequests, times: ReturnTimes, events: ReturnEvents) {
    this.#registry = registry;
    this.#control = control;
    this.#times = times;
    this.#events = events;
    this.#watching = registry.engines$.subscribe(() => this.#look());
  }

  /** Whether an engine is counted on, though it is not registered. */
  has(uuid: string): boolean {
    return this.#absent.has(uuid) || this.#expected.has(uuid);
  }

  /** The engines that work bound to them may still be given to, though they are not registered. */
  get absent(): readonly EngineInfo[] {
    return byId(this.#absent);
  }

  /** While none is registered: those that were there before. */
  get expected(): readonly EngineInfo[] {
    return byId(this.#expected);
  }

  /** The connection broke. */
  onDown(): void {
    this.#connected = false;
    this.#stop();
    for (const [id, uuid] of this.#registry.engines) this.#expected.set(uuid, { id, uuid });
  }

  /**
   * The connection is back, and the registry tells who is there; `gone` are those that it has not any more. `stock` is
   * true where the controller may be a new one that lists its engines before they are linked.
   */
  onUp(gone: readonly string[], options: { readonly stock: boolean; readonly same: boolean }): void {
    for (const uuid of gone) this.#absent.set(uuid, { id: this.#registry.idOf(uuid) ?? -1, uuid });
    for (const uuid of [...this.#absent.keys()]) if (this.#registry.has(uuid)) this.#absent.delete(uuid);
    this.#connected = true;
    this.#stock = options.stock;
    if (options.stock) for (const uuid of this.#registry.engines.values()) this.#hear(uuid);
    if (this.#registry.ids.length > 0) this.#expected.clear();
    if (options.same) this.#miss();
    else if (this.#absent.size > 0) this.#missed = later(this.#times.registration, () => this.#miss());
    if (this.#expected.size > 0) this.#none = later(this.#times.any, () => this.#giveUp());
  }

  /** Whether work is to wait for engines. */
  awaits(work: Submission): boolean {
    const { channel, idents } = work;
    if (this.#absent.size === 0 && this.#unheard.size === 0 && this.#expected.size === 0) return false;
    const away = (uuid: string): boolean => this.#absent.has(uuid) || this.#unheard.has(uuid);
    if (channel === 'mux') return away(idents[0] ?? '');
    const targets = targetsOf(work);
    if (channel === 'broadcast') return targets.some(away);
    // The scheduler may pick any of them.
    if (this.#unheard.size > 0) return true;
    if (targets.length === 0) return this.#expected.size > 0;
    return !targets.some((uuid) => this.#registry.has(uuid)) && targets.some(away);
  }

  /** Ends it. */
  close(): void {
    this.#stop();
    this.#watching.unsubscribe();
    this.#absent.clear();
    this.#expected.clear();
  }

  /** The registry has changed. */
  #look(): void {
    if (!this.#connected) return;
    let changed = false;
    for (const uuid of [...this.#absent.keys()]) {
      if (!this.#registry.has(uuid)) continue;
      this.#absent.delete(uuid);
      if (this.#stock) this.#hear(uuid);
      changed = true;
    }
    for (const uuid of [...this.#unheard]) {
      if (this.#registry.has(uuid)) continue;
      this.#unheard.delete(uuid);
      changed = true;
    }
    if (this.#expected.size > 0 && this.#registry.ids.length > 0) {
      clearTimeout(this.#none);
      this.#expected.clear();
      changed = true;
    }
    if (changed) this.#events.onBack();
  }

  /** Holds work for an engine until it is known to be linked. */
  #hear(uuid: string): void {
    this.#unheard.add(uuid);
    void this.#untilHeard(uuid, this.#hearing.signal);
  }

  async #untilHeard(uuid: string, ended: AbortSignal): Promise<void> {
    const engine = { id: this.#registry.idOf(uuid) ?? -1, uuid };
    const over = new AbortController();
    const signal = AbortSignal.any([ended, over.signal]);
    const ask = (): void => {
      void this.#control
        .request(engine, 'kernel_info_request', {}, { timeout: HEARING_MS, signal })
        // Any answer will do; without one the time runs out.
        .then(() => over.abort())
        .catch(() => undefined);
    };
    const ends = performance.now() + HEARING_MS;
    for (let wait = FIRST_QUESTION_MS; !signal.aborted && performance.now() < ends; wait *= 2) {
      ask();
      await pause(Math.min(wait, ends - performance.now()), signal);
    }
    over.abort();
    await pause(LINKS_MS, ended);
    if (ended.aborted || !this.#unheard.delete(uuid)) return;
    this.#events.onBack();
  }

  #miss(): void {
    const engines = this.absent;
    if (engines.length === 0) return;
    const held = (work: Submission): boolean => {
      const { channel, idents } = work;
      if (channel === 'mux') return this.#absent.has(idents[0] ?? '');
      const targets = targetsOf(work);
      if (channel === 'broadcast') return targets.some((uuid) => this.#absent.has(uuid));
      return targets.length > 0 && !targets.some((uuid) => this.#registry.has(uuid));
    };
    this.#events.onMissed(engines, held);
    this.#absent.clear();
    this.#events.onBack();
  }

  #giveUp(): void {
    this.#events.onNone(({ channel }) => channel === 'task');
    this.#expected.clear();
  }

  #stop(): void {
    clearTimeout(this.#missed);
    clearTimeout(this.#none);
    this.#hearing.abort();
    this.#hearing = new AbortController();
    this.#unheard.clear();
  }
}

function byId(engines: ReadonlyMap<string, EngineInfo>): EngineInfo[] {
  return [...engines.values()].sort((a, b) => a.id - b.id);
}

function later(ms: number, then: () => void): NodeJS.Timeout | undefined {
  if (ms === Number.POSITIVE_INFINITY) return undefined;
  const timer = setTimeout(then, Math.min(ms, 2 ** 31 - 1));
  timer.unref();
  return timer;
}
