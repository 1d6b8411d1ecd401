import { TaskNotFoundError } from '@ipyparallel-js/protocol';
import type { WaitOptions } from '@ipyparallel-js/wire';
import type { EngineRegistry } from '../engines/engine-registry.js';
import type { HubRequests } from '../hub/hub-requests.js';
import type { RequestLane } from '../hub/request-lane.js';

/** A task whose record has no end. */
export interface OpenTask {
  readonly msgId: string;
  readonly engineUuid: string | null;
}

/** A task that no engine and no queue seems to have. */
interface Abandoned {
  readonly why: string;
  /** How long it must have been abandoned before it counts as lost, in ms. */
  readonly minAge: number;
}

/** The first interval between checks and the longest one; the interval doubles. */
const FIRST_MS = 3_000;
const LONGEST_MS = 60_000;
/** How long an engine may take to register at a restarted controller with its result. */
const ENGINE_GRACE_MS = 30_000;

/**
 * Finds tasks that a previous run of the controller left unfinished, so that their records stay open indefinitely. A task
 * is lost when two checks in a row found it abandoned: engines need time to register, and results to be written.
 */
export class LostTasks {
  readonly #requests: HubRequests;
  readonly #registry: EngineRegistry;
  readonly #lane: RequestLane;
  readonly #ours: boolean;
  /** The tasks that the last check found abandoned, and when this was first found. */
  #suspects = new Map<string, number>();
  #next = 0;
  #wait = FIRST_MS;

  constructor(requests: HubRequests, registry: EngineRegistry, lane: RequestLane, ours: boolean) {
    this.#requests = requests;
    this.#registry = registry;
    this.#lane = lane;
    this.#ours = ours;
  }

  /** Schedules an early check, because another task is followed. */
  restart(): void {
    this.#wait = FIRST_MS;
    this.#next = Math.min(this.#next, performance.now() + FIRST_MS);
  }

  /** Whether a check is due. */
  get due(): boolean {
    const now = performance.now();
    if (this.#next === 0) this.#next = now + this.#wait;
    return now >= this.#next;
  }

  /** Checks tasks. Returns the lost ones with the reason; the caller must read their records once more. */
  async find(open: readonly OpenTask[], options: WaitOptions): Promise<Map<string, string>> {
    const abandoned = this.#ours ? await this.#notQueued(open, options) : await this.#unknown(open, options);
    const now = performance.now();
    const lost = new Map<string, string>();
    const suspects = new Map<string, number>();
    for (const [msgId, { why, minAge }] of abandoned) {
      const since = this.#suspects.get(msgId);
      suspects.set(msgId, since ?? now);
      if (since !== undefined && now - since >= minAge) lost.set(msgId, why);
    }
    this.#suspects = suspects;
    this.#wait = suspects.size > lost.size ? FIRST_MS : Math.min(this.#wait * 2, LONGEST_MS);
    this.#next = now + this.#wait;
    return lost;
  }

  // This project's hub lists its queues. A registered engine may still send its result.
  async #notQueued(open: readonly OpenTask[], options: WaitOptions): Promise<Map<string, Abandoned>> {
    const abandoned = new Map<string, Abandoned>();
    const uuids = new Set(this.#registry.engines.values());
    const unassigned = open.filter(({ engineUuid }) => engineUuid === null || engineUuid === '');
    for (const { msgId, engineUuid } of open) {
      if (engineUuid === null || engineUuid === '' || uuids.has(engineUuid)) continue;
      const why = `its engine ${engineUuid} is not registered, and the controller was restarted`;
      abandoned.set(msgId, { why, minAge: ENGINE_GRACE_MS });
    }
    if (unassigned.length === 0) return abandoned;
    const { content } = await this.#lane.run(() =>
      this.#requests.request('queue_request', { targets: null, verbose: true }, options),
    );
    const waiting = new Set<unknown>(Array.isArray(content['unassigned']) ? content['unassigned'] : []);
    for (const { msgId } of unassigned) {
      if (waiting.has(msgId)) continue;
      const why = 'no engine has it, and it is in no queue of this controller';
      abandoned.set(msgId, { why, minAge: 0 });
    }
    return abandoned;
  }

  // A stock hub answers a request for the status from the memory of its present run.
  async #unknown(open: readonly OpenTask[], options: WaitOptions): Promise<Map<string, Abandoned>> {
    const abandoned = new Map<string, Abandoned>();
    const why = 'its record has no end, and the present controller does not know it';
    // The hub reports only whether it knows all of the ids, so the list is halved until the unknown ids are found.
    const lists: (readonly string[])[] = [open.map(({ msgId }) => msgId)];
    for (let ids = lists.pop(); ids !== undefined; ids = lists.pop()) {
      const [first] = ids;
      if (first === undefined || (await this.#hubKnows(ids, options))) continue;
      const half = Math.ceil(ids.length / 2);
      if (ids.length === 1) abandoned.set(first, { why, minAge: 0 });
      else lists.push(ids.slice(half), ids.slice(0, half));
    }
    return abandoned;
  }

  async #hubKnows(ids: readonly string[], options: WaitOptions): Promise<boolean> {
    try {
      await this.#lane.run(() =>
        this.#requests.request(
          'result_request',
          { msg_ids: ids, status_only: true },
          { ...options, msgIds: ids },
        ),
      );
      return true;
    } catch (error) {
      if (error instanceof TaskNotFoundError) return false;
      throw error;
    }
  }
}
