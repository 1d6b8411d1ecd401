import { type AnyMessage, EngineError, type IpyparallelError, unpackResult } from '@ipyparallel-js/protocol';
import { getOwn, getOwnString, taskError } from '@ipyparallel-js/protocol/internal';
import type { EngineInfo } from '../engines/engine-registry.js';
import type { SubmittedTasks } from '../tasks/submitted-tasks.js';
import type { Task } from '../tasks/task.js';

/** A coalescing broadcast: its engines by ascending id, and their tasks. */
export interface Gathering {
  readonly engines: readonly EngineInfo[];
  readonly tasks: readonly Task[];
  /** Whether the reply has the order of the request, as that of this project's scheduler has. */
  readonly inOrder: boolean;
}

/** Splits the combined reply of a coalescing broadcast into one reply for each task. */
export class CoalescedReplies {
  readonly #submittedTasks: SubmittedTasks;
  readonly #gatherings = new Map<string, Gathering>();

  constructor(submittedTasks: SubmittedTasks) {
    this.#submittedTasks = submittedTasks;
  }

  /** Expects a combined reply to the broadcast `msgId`. If one engine fails or unregisters, no such reply will arrive. */
  expect(msgId: string, gathering: Gathering): void {
    const { tasks } = gathering;
    this.#gatherings.set(msgId, gathering);
    for (const task of tasks) {
      void task.done.then((outcome) => {
        if (!outcome.ok && this.#gatherings.delete(msgId)) failAll(tasks, outcome.error);
      });
    }
  }

  /** Handles a combined reply. Returns false for other messages. */
  take(message: AnyMessage): boolean {
    if (getOwn(message.metadata, 'is_coalescing') !== true) return false;
    const msgId = getOwnString(message.metadata, 'original_msg_id') ?? '';
    const gathering = this.#gatherings.get(msgId);
    if (gathering === undefined) return false;
    this.#gatherings.delete(msgId);
    try {
      this.#settle(gathering, message);
    } catch (error) {
      failAll(gathering.tasks, error instanceof Error ? error : new Error(String(error)));
    }
    return true;
  }

  #settle({ engines, tasks, inOrder }: Gathering, message: AnyMessage): void {
    const { content, metadata, buffers } = message;
    if (content.status !== 'ok') {
      failAll(tasks, taskError(content));
      return;
    }
    const counts = getOwn(metadata, 'broadcast_buffers');
    const bounds = Array.isArray(counts) ? boundsOf(counts.map(Number)) : pickleBounds(buffers);
    if (bounds.length !== engines.length) {
      failAll(tasks, partsMissing(bounds.length, engines.length));
      return;
    }
    const order = inOrder
      ? engines.map((_, i) => i)
      : orderOfReplies(engines, getOwn(metadata, 'broadcast_targets'));
    const digests = getOwn(content, 'buffer_digests');
    order.forEach((place, i) => {
      const task = tasks[place];
      const engine = engines[place];
      if (task === undefined || engine === undefined) return;
      this.#submittedTasks.onReply({
        ...message,
        content: Array.isArray(digests)
          ? { ...content, buffer_digests: digests.slice(...(bounds[i] ?? [])) }
          : content,
        parent_header: { ...message.parent_header, msg_id: task.msgId },
        metadata: { ...metadata, engine: engine.uuid, is_coalescing: false, broadcast_targets: [] },
        buffers: buffers.slice(...(bounds[i] ?? [])),
      });
    });
  }
}

type Bounds = readonly [from: number, to: number];

/** The range of each engine's buffers. */
function boundsOf(counts: readonly number[]): Bounds[] {
  let to = 0;
  return counts.map((count) => {
    const from = to;
    to += count;
    return [from, to];
  });
}

/** The ranges if the scheduler does not report them. They follow only from decoding, so each value is decoded twice. */
function pickleBounds(buffers: readonly Buffer[]): Bounds[] {
  const bounds: Bounds[] = [];
  for (let from = 0; from < buffers.length; ) {
    const to = buffers.length - unpackResult(buffers.slice(from)).rest.length;
    bounds.push([from, to]);
    from = to;
  }
  return bounds;
}

/**
 * The order of the values in the combined reply of a stock scheduler: for each value, the index of its engine in `sent`.
 * Each level of its tree of schedulers sorts engines by one bit of their ids, from the depth's bit to the lowest; the
 * list in the metadata shows the first of these sorts only. With the default depth of 1, they are the same.
 * @throws {EngineError} when several depths are possible and yield different orders
 */
export function orderOfReplies(sent: readonly EngineInfo[], reported: unknown): number[] {
  const places = sent.map((_, i) => i);
  const id = (place: number): number => sent[place]?.id ?? 0;
  const targets: unknown[] = Array.isArray(reported) ? reported : [];
  // A single scheduler lists uuids in the order of the request.
  if (!targets.every((target) => Array.isArray(target))) return places;
  const shown = targets.map((target: unknown[]) => target[0]);
  const orders = new Map<string, number[]>();
  for (let depth = 1; depth <= MAX_DEPTH; depth++) {
    const firstSort = sortBy(places, (place) => Math.floor(id(place) / 2 ** (depth - 1)) % 2);
    if (!firstSort.every((place, i) => sent[place]?.uuid === shown[i])) continue;
    const order = sortBy(places, (place) => id(place) % 2 ** depth);
    if (depth === 1) return order;
    orders.set(order.join(), order);
  }
  const [order, another] = [...orders.values()];
  if (order !== undefined && another === undefined) return order;
  throw new EngineError({
    ename: 'EngineError',
    evalue:
      'the coalesced reply does not show which value belongs to which engine; broadcast without coalescing',
    traceback: [],
  });
}

const MAX_DEPTH = 16;

function sortBy(places: readonly number[], key: (place: number) => number): number[] {
  return [...places].sort((a, b) => key(a) - key(b));
}

function partsMissing(there: number, wanted: number): IpyparallelError {
  const failed = wanted - there;
  return new EngineError({
    ename: 'EngineError',
    evalue: `${failed} of ${wanted} engines failed; the coalesced reply of a stock scheduler shows neither which nor why; broadcast without coalescing to see the errors`,
    traceback: [],
  });
}

function failAll(tasks: readonly Task[], error: Error): void {
  for (const task of tasks) task.settle({ ok: false, error }, 'failed');
}
