import { TaskNotFoundError } from '@ipyparallel-js/protocol';
import type { WaitOptions } from '@ipyparallel-js/wire';
import type { EngineRegistry } from '../engines/engine-registry.js';
import type { HubRequests } from '../hub/hub-requests.js';
import type { RequestLane } from '../hub/request-lane.js';

/** A task whose record says that it has not ended. */
export interface OpenTask {
  readonly msgId: string;
  readonly engineUuid: string | null;
}

/** A task that nobody seems to have. */
interface Abandoned {
  readonly why: string;
  /** How long it must have seemed so before it is given up, in ms. */
  readonly patience: number;
}

/** The first look, and how long there is between looks at most; the time doubles. */
const FIRST_MS = 3_000;
const LONGEST_MS = 60_000;
/** An engine may come back to a controller that was started anew, with its result. */
const ENGINE_GRACE_MS = 30_000;

/**
 * Finds tasks that a controller of an earlier life left unfinished: their records stay open for ever. A task is given up
 * when it was found abandoned twice in a row, so that an engine has time to come back, and a result to be written.
 */
export class LostTasks {
  readonly #requests: HubRequests;
  readonly #registry: EngineRegistry;
  readonly #lane: RequestLane;
  readonly #ours: boolean;
  /** What was found abandoned at the last look, and when it first was. */
  #suspects = new Map<string, number>();
  #next = 0;
  #wait = FIRST_MS;

  constructor(requests: HubRequests, registry: EngineRegistry, lane: RequestLane, ours: boolean) {
    this.#requests = requests;
    this.#registry = registry;
    this.#lane = lane;
    this.#ours = ours;
  }

  /** Something is followed that was not: it is soon time for a look. */
  restart(): void {
    this.#wait = FIRST_MS;
    this.#next = Math.min(this.#next, performance.now() + FIRST_MS);
  }

  /** Whether it is time for a look. */
  get due(): boolean {
    const now = performance.now();
    if (this.#next === 0) this.#next = now + this.#wait;
    return now >= this.#next;
  }

  /** Looks; gives those to be given up, and why. Their records are to be read once more before that. */
  async find(open: readonly OpenTask[], options: WaitOptions): Promise<Map<string, string>> {
    const abandoned = this.#ours ? await this.#notQueued(open, options) : await this.#unknown(open, options);
    const now = performance.now();
    const lost = new Map<string, string>();
    const suspects = new Map<string, number>();
    for (const [msgId, { why, patience }] of abandoned) {
      const since = this.#suspects.get(msgId);
      suspects.set(msgId, since ?? now);
      if (since !== undefined && now - since >= patience) lost.set(msgId, why);
    }
    this.#suspects = suspects;
    this.#wait = suspects.size > lost.size ? FIRST_MS : Math.min(this.#wait * 2, LONGEST_MS);
    this.#next = now + this.#wait;
    return lost;
  }

  // Our hub lists what it has to do. An engine that is registered may still bring its result.
  async #notQueued(open: readonly OpenTask[], options: WaitOptions): Promise<Map<string, Abandoned>> {
    const abandoned = new Map<string, Abandoned>();
    const uuids = new Set(this.#registry.engines.values());
    const unassigned = open.filter(({ engineUuid }) => engineUuid === null || engineUuid === '');
    for (const { msgId, engineUuid } of open) {
      if (engineUuid === null || engineUuid === '' || uuids.has(engineUuid)) continue;
      const why = `the engine ${engineUuid}, which had it, is gone, and so is the controller that knew of it`;
      abandoned.set(msgId, { why, patience: ENGINE_GRACE_MS });
    }
    if (unassigned.length === 0) return abandoned;
    const { content } = await this.#lane.run(() =>
      this.#requests.request('queue_request', { targets: null, verbose: true }, options),
    );
    const waiting = new Set<unknown>(Array.isArray(content['unassigned']) ? content['unassigned'] : []);
    for (const { msgId } of unassigned) {
      if (waiting.has(msgId)) continue;
      const why = 'no engine has it, and it waits in no queue of this controller';
      abandoned.set(msgId, { why, patience: 0 });
    }
    return abandoned;
  }

  // A stock hub, asked for the status alone, answers from the memory of its present life.
  async #unknown(open: readonly OpenTask[], options: WaitOptions): Promise<Map<string, Abandoned>> {
    const abandoned = new Map<string, Abandoned>();
    const why = 'its record is open, and the controller that runs now has never had it';
    // It only says whether it knows all of those asked about: halves find the others, in turn.
    const asked: (readonly string[])[] = [open.map(({ msgId }) => msgId)];
    for (let ids = asked.pop(); ids !== undefined; ids = asked.pop()) {
      const [first] = ids;
      if (first === undefined || (await this.#knows(ids, options))) continue;
      const half = Math.ceil(ids.length / 2);
      if (ids.length === 1) abandoned.set(first, { why, patience: 0 });
      else asked.push(ids.slice(half), ids.slice(0, half));
    }
    return abandoned;
  }

  async #knows(ids: readonly string[], options: WaitOptions): Promise<boolean> {
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
