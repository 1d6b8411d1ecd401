import { type AnyMessage, EngineError, type IpyparallelError, unpackResult } from '@ipyparallel-js/protocol';
import { getOwn, getOwnString, taskError } from '@ipyparallel-js/protocol/internal';
import type { EngineInfo } from '../engines/engine-registry.js';
import type { SubmittedTasks } from '../tasks/submitted-tasks.js';
import type { Task } from '../tasks/task.js';

/** A coalescing broadcast: its engines by ascending id, and their tasks. */
export interface CoalescedBroadcast {
  readonly engines: readonly EngineInfo[];
  readonly tasks: readonly Task[];
  /** Whether the parts of the reply are in the order of the request, as this project's scheduler returns them. */
  readonly inOrder: boolean;
}

/** Splits the combined reply of a coalescing broadcast into one reply for each task. */
export class CoalescedReplies {
  readonly #submittedTasks: SubmittedTasks;
  readonly #broadcasts = new Map<string, CoalescedBroadcast>();

  constructor(submittedTasks: SubmittedTasks) {
    this.#submittedTasks = submittedTasks;
  }

  /** Expects a combined reply to the broadcast `msgId`. If one engine fails or unregisters, no such reply will arrive. */
  expect(msgId: string, broadcast: CoalescedBroadcast): void {
    const { tasks } = broadcast;
    this.#broadcasts.set(msgId, broadcast);
    for (const task of tasks) {
      void task.done.then((outcome) => {
        if (!outcome.ok && this.#broadcasts.delete(msgId)) failAll(tasks, outcome.error);
      });
    }
  }

  /** Handles a combined reply. Returns false for other messages. */
  handleReply(message: AnyMessage): boolean {
    if (getOwn(message.metadata, 'is_coalescing') !== true) return false;
    const msgId = getOwnString(message.metadata, 'original_msg_id') ?? '';
    const broadcast = this.#broadcasts.get(msgId);
    if (broadcast === undefined) return false;
    this.#broadcasts.delete(msgId);
    try {
      this.#settle(broadcast, message);
    } catch (error) {
      failAll(broadcast.tasks, error instanceof Error ? error : new Error(String(error)));
    }
    return true;
  }

  #settle({ engines, tasks, inOrder }: CoalescedBroadcast, message: AnyMessage): void {
    const { content, metadata, buffers } = message;
    if (content.status !== 'ok') {
      failAll(tasks, taskError(content));
      return;
    }
    const counts = getOwn(metadata, 'broadcast_buffers');
    const bounds = Array.isArray(counts) ? boundsOf(counts.map(Number)) : pickleBounds(buffers);
    if (bounds.length !== engines.length) {
      failAll(tasks, missingPartsError(bounds.length, engines.length));
      return;
    }
    const order = inOrder
      ? engines.map((_, i) => i)
      : orderOfReplies(engines, getOwn(metadata, 'broadcast_targets'));
    const digests = getOwn(content, 'buffer_digests');
    order.forEach((index, i) => {
      const task = tasks[index];
      const engine = engines[index];
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
  let end = 0;
  return counts.map((count) => {
    const start = end;
    end += count;
    return [start, end];
  });
}

/** The ranges if the scheduler does not report them. Only decoding shows where a value ends, so each is decoded twice. */
function pickleBounds(buffers: readonly Buffer[]): Bounds[] {
  const bounds: Bounds[] = [];
  for (let start = 0; start < buffers.length; ) {
    const end = buffers.length - unpackResult(buffers.slice(start)).rest.length;
    bounds.push([start, end]);
    start = end;
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
  const indexes = sent.map((_, i) => i);
  const id = (index: number): number => sent[index]?.id ?? 0;
  const targets: unknown[] = Array.isArray(reported) ? reported : [];
  // A single scheduler lists uuids in the order of the request.
  if (!targets.every((target) => Array.isArray(target))) return indexes;
  const reportedUuids = targets.map((target: unknown[]) => target[0]);
  const orders = new Map<string, number[]>();
  for (let depth = 1; depth <= MAX_DEPTH; depth++) {
    const firstSort = sortBy(indexes, (index) => Math.floor(id(index) / 2 ** (depth - 1)) % 2);
    if (!firstSort.every((index, i) => sent[index]?.uuid === reportedUuids[i])) continue;
    const order = sortBy(indexes, (index) => id(index) % 2 ** depth);
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

function sortBy(indexes: readonly number[], key: (index: number) => number): number[] {
  return [...indexes].sort((a, b) => key(a) - key(b));
}

function missingPartsError(received: number, expected: number): IpyparallelError {
  const missing = expected - received;
  return new EngineError({
    ename: 'EngineError',
    evalue: `${missing} of ${expected} engines failed; the coalesced reply of a stock scheduler shows neither which nor why; broadcast without coalescing to see the errors`,
    traceback: [],
  });
}

function failAll(tasks: readonly Task[], error: Error): void {
  for (const task of tasks) task.settle({ ok: false, error }, 'failed');
}
