import { callReceiver, callSender, MONITOR_CALLS, SCHEDULERS_CALLS } from './calls.js';
import { packBatch, type TaggedFrames, unpackBatch } from './frame-batch.js';
import type { LinkCounts } from './link-counts.js';
import type { Monitor, Schedulers } from './schedulers.js';

/** An end of the link: a MessagePort, the Worker itself, or a fake in a test. */
export interface LinkPort {
  postMessage(message: unknown, transfer: readonly ArrayBuffer[]): void;
}

const FLUSH_BYTES = 1 << 20;
/** The minimum time between two batches of copies, in ms: each batch wakes the hub's thread. */
const MIN_BATCH_INTERVAL = 1;

class BatchSender {
  readonly #port: LinkPort;
  #items: TaggedFrames[] = [];
  #bytes = 0;
  #isScheduled = false;
  #lastFlush = Number.NEGATIVE_INFINITY;
  readonly #interval: number;

  /** `interval` is the minimum time between two batches in ms. */
  constructor(port: LinkPort, interval = 0) {
    this.#port = port;
    this.#interval = interval;
  }

  push(kind: number, frames: readonly Uint8Array[]): void {
    this.#items.push({ kind, frames });
    for (const frame of frames) this.#bytes += frame.byteLength;
    if (this.#bytes > FLUSH_BYTES) {
      this.flush();
    } else if (!this.#isScheduled) {
      this.#isScheduled = true;
      const isTooSoon = this.#interval > 0 && performance.now() - this.#lastFlush < this.#interval;
      if (isTooSoon) setTimeout(() => this.flush(), this.#interval);
      else setImmediate(() => this.flush());
    }
  }

  flush(): void {
    this.#isScheduled = false;
    if (this.#items.length === 0) return;
    const packed = packBatch(this.#items);
    this.#items = [];
    this.#bytes = 0;
    if (this.#interval > 0) this.#lastFlush = performance.now();
    this.#port.postMessage(packed, [packed]);
  }
}

/** The schedulers' end of the link to the hub in another thread. */
export class HubLink {
  readonly monitor: Monitor;
  readonly #sender: BatchSender;

  constructor(port: LinkPort, counts: LinkCounts) {
    const sender = new BatchSender(port, MIN_BATCH_INTERVAL);
    this.#sender = sender;
    this.monitor = callSender(MONITOR_CALLS, (kind, frames) => {
      // Count the copy before the client can have its result: the client's next request then waits for the copy.
      counts.addCopy();
      sender.push(kind, frames);
    });
  }

  /** Sends the queued copies. */
  flush(): void {
    this.#sender.flush();
  }
}

/** The hub's end of the link to the schedulers in another thread. `onCall` runs before each call. */
export function schedulersLink(port: LinkPort, onCall: () => void): Schedulers {
  const sender = new BatchSender(port);
  return callSender(SCHEDULERS_CALLS, (kind, frames) => {
    onCall();
    sender.push(kind, frames);
  });
}

/** Handles a message that failed. The receiver still handles the other messages of the batch. */
export type OnFailure = (error: unknown) => void;

function receive<T>(
  packed: ArrayBuffer,
  target: T,
  call: (target: T, kind: number, frames: Buffer[]) => void,
  onFailure: OnFailure,
): number {
  let count = 0;
  for (const { kind, frames } of unpackBatch(packed)) {
    count++;
    try {
      call(target, kind, frames);
    } catch (error) {
      onFailure(error);
    }
  }
  return count;
}

const callMonitor = callReceiver(MONITOR_CALLS);
const callSchedulers = callReceiver(SCHEDULERS_CALLS);

/** Makes the calls of a batch on the hub. @returns the number of calls */
export function receiveForHub(packed: ArrayBuffer, hub: Monitor, onFailure: OnFailure): number {
  return receive(packed, hub, callMonitor, onFailure);
}

/** Makes the calls of a batch on the schedulers. @returns the number of calls */
export function receiveForSchedulers(
  packed: ArrayBuffer,
  schedulers: Schedulers,
  onFailure: OnFailure,
): number {
  return receive(packed, schedulers, callSchedulers, onFailure);
}
