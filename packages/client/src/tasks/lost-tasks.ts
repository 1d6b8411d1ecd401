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
interface AbandonedTask {
  readonly why: string;
  /** How long it must have been abandoned before it counts as lost, in ms. */
  readonly minAge: number;
}

/** The first interval between checks and the longest one; the interval doubles. */
const MIN_INTERVAL_MS = 3_000;
const MAX_INTERVAL_MS = 60_000;
/** How long an engine may take to register at a restarted controller with its result. */
const REGISTRATION_MS = 30_000;

/**
 * Finds tasks that a previous run of the controller left unfinished, so that their records stay open indefinitely. A task
 * is lost when two checks in a row found it abandoned: engines need time to register, and results to be written.
 */
export class LostTasks {
  readonly #requests: HubRequests;
  readonly #registry: EngineRegistry;
  readonly #requestLane: RequestLane;
  readonly #isOurHub: boolean;
  /** The tasks that the last check found abandoned, and when this was first found. */
  #suspectTimes = new Map<string, number>();
  #nextCheckTime = 0;
  #interval = MIN_INTERVAL_MS;

  constructor(requests: HubRequests, registry: EngineRegistry, lane: RequestLane, isOurHub: boolean) {
    this.#requests = requests;
    this.#registry = registry;
    this.#requestLane = lane;
    this.#isOurHub = isOurHub;
  }

  /** Schedules an early check, because another task is followed. */
  restart(): void {
    this.#interval = MIN_INTERVAL_MS;
    this.#nextCheckTime = Math.min(this.#nextCheckTime, performance.now() + MIN_INTERVAL_MS);
  }

  /** Whether a check is due. */
  get isDue(): boolean {
    const now = performance.now();
    if (this.#nextCheckTime === 0) this.#nextCheckTime = now + this.#interval;
    return now >= this.#nextCheckTime;
  }

  /** Checks tasks. Returns the lost ones with the reason; the caller must read their records once more. */
  async find(tasks: readonly OpenTask[], options: WaitOptions): Promise<Map<string, string>> {
    const abandonedTasks = this.#isOurHub
      ? await this.#findUnqueued(tasks, options)
      : await this.#findUnknown(tasks, options);
    const now = performance.now();
    const lostTasks = new Map<string, string>();
    const suspectTimes = new Map<string, number>();
    for (const [msgId, { why, minAge }] of abandonedTasks) {
      const firstSeen = this.#suspectTimes.get(msgId);
      suspectTimes.set(msgId, firstSeen ?? now);
      if (firstSeen !== undefined && now - firstSeen >= minAge) lostTasks.set(msgId, why);
    }
    this.#suspectTimes = suspectTimes;
    this.#interval =
      suspectTimes.size > lostTasks.size ? MIN_INTERVAL_MS : Math.min(this.#interval * 2, MAX_INTERVAL_MS);
    this.#nextCheckTime = now + this.#interval;
    return lostTasks;
  }

  // This project's hub lists its queues. A registered engine may still send its result.
  async #findUnqueued(tasks: readonly OpenTask[], options: WaitOptions): Promise<Map<string, AbandonedTask>> {
    const abandonedTasks = new Map<string, AbandonedTask>();
    const uuids = new Set(this.#registry.engines.values());
    const unassigned = tasks.filter(({ engineUuid }) => engineUuid === null || engineUuid === '');
    for (const { msgId, engineUuid } of tasks) {
      if (engineUuid === null || engineUuid === '' || uuids.has(engineUuid)) continue;
      const why = `its engine ${engineUuid} is not registered, and the controller was restarted`;
      abandonedTasks.set(msgId, { why, minAge: REGISTRATION_MS });
    }
    if (unassigned.length === 0) return abandonedTasks;
    const { content } = await this.#requestLane.run(() =>
      this.#requests.request('queue_request', { targets: null, verbose: true }, options),
    );
    const queuedIds = new Set<unknown>(Array.isArray(content['unassigned']) ? content['unassigned'] : []);
    for (const { msgId } of unassigned) {
      if (queuedIds.has(msgId)) continue;
      const why = 'no engine has it, and it is in no queue of this controller';
      abandonedTasks.set(msgId, { why, minAge: 0 });
    }
    return abandonedTasks;
  }

  // A stock hub answers a request for the status from the memory of its present run.
  async #findUnknown(tasks: readonly OpenTask[], options: WaitOptions): Promise<Map<string, AbandonedTask>> {
    const abandonedTasks = new Map<string, AbandonedTask>();
    const why = 'its record has no end, and the present controller does not know it';
    // The hub reports only whether it knows all of the ids, so the list is halved until the unknown ids are found.
    const lists: (readonly string[])[] = [tasks.map(({ msgId }) => msgId)];
    for (let ids = lists.pop(); ids !== undefined; ids = lists.pop()) {
      const [first] = ids;
      if (first === undefined || (await this.#isKnownToHub(ids, options))) continue;
      const middle = Math.ceil(ids.length / 2);
      if (ids.length === 1) abandonedTasks.set(first, { why, minAge: 0 });
      else lists.push(ids.slice(middle), ids.slice(0, middle));
    }
    return abandonedTasks;
  }

  async #isKnownToHub(ids: readonly string[], options: WaitOptions): Promise<boolean> {
    try {
      await this.#requestLane.run(() =>
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
