import type { Frames } from '@ipyparallel-js/wire';
import { packBatch, type TaggedFrames, unpackBatch } from './frame-batch.js';
import { FromHub, ToHub } from './kinds.js';
import type { LinkCounts } from './link-counts.js';
import type { Monitor, SchedulerCalls, Schedulers } from './schedulers.js';

/** What both ends of the link are: a MessagePort, the Worker itself, or a stand-in in a test. */
export interface LinkPort {
  postMessage(message: unknown, transfer: readonly ArrayBuffer[]): void;
}

const FLUSH_BYTES = 1 << 20;
/** What the hub only takes down may wait for so long while there is much of it, in ms: each batch wakes its thread. */
const SPACING_MS = 1;

class BatchSender {
  readonly #port: LinkPort;
  #items: TaggedFrames[] = [];
  #bytes = 0;
  #scheduled = false;
  #lastFlush = Number.NEGATIVE_INFINITY;
  readonly #spacing: number;

  /** What is pushed within `spacing` ms of the last batch waits that long for more. */
  constructor(port: LinkPort, spacing = 0) {
    this.#port = port;
    this.#spacing = spacing;
  }

  push(kind: number, frames: readonly Uint8Array[]): void {
    this.#items.push({ kind, frames });
    for (const frame of frames) this.#bytes += frame.byteLength;
    if (this.#bytes > FLUSH_BYTES) {
      this.flush();
    } else if (!this.#scheduled) {
      this.#scheduled = true;
      const soon = this.#spacing > 0 && performance.now() - this.#lastFlush < this.#spacing;
      if (soon) setTimeout(() => this.flush(), this.#spacing);
      else setImmediate(() => this.flush());
    }
  }

  flush(): void {
    this.#scheduled = false;
    if (this.#items.length === 0) return;
    const packed = packBatch(this.#items);
    this.#items = [];
    this.#bytes = 0;
    if (this.#spacing > 0) this.#lastFlush = performance.now();
    this.#port.postMessage(packed, [packed]);
  }
}

const text = (value: string): Buffer => Buffer.from(value, 'utf8');

/** The schedulers' end of the link: tells a hub in another thread. */
export class HubLink implements Monitor {
  readonly #sender: BatchSender;
  readonly #counts: LinkCounts;

  constructor(port: LinkPort, counts: LinkCounts) {
    this.#sender = new BatchSender(port, SPACING_MS);
    this.#counts = counts;
  }

  /** Sends what waits. */
  flush(): void {
    this.#sender.flush();
  }

  // Counted before the client can have its result: its next question then waits for the copy.
  #push(kind: ToHub, frames: readonly Uint8Array[]): void {
    this.#counts.addCopy();
    this.#sender.push(kind, frames);
  }

  directRequest(frames: readonly Uint8Array[]): void {
    this.#push(ToHub.in, frames);
  }
  directReply(frames: readonly Uint8Array[]): void {
    this.#push(ToHub.out, frames);
  }
  taskRequest(frames: readonly Uint8Array[]): void {
    this.#push(ToHub.inTask, frames);
  }
  taskReply(frames: readonly Uint8Array[]): void {
    this.#push(ToHub.outTask, frames);
  }
  taskAssigned(msgId: string, engine: string): void {
    this.#push(ToHub.trackTask, [text(msgId), text(engine)]);
  }
  output(frames: readonly Uint8Array[]): void {
    this.#push(ToHub.iopub, frames);
  }
  newHeart(uuid: string): void {
    this.#push(ToHub.newHeart, [text(uuid)]);
  }
  stoppedHeart(uuid: string): void {
    this.#push(ToHub.stoppedHeart, [text(uuid)]);
  }
}

/** What is done about a message whose handling failed; the others of its batch are handled all the same. */
export type OnFailure = (error: unknown) => void;

function receive(
  packed: ArrayBuffer,
  handle: (kind: number, frames: Buffer[]) => void,
  onFailure: OnFailure,
): number {
  let count = 0;
  for (const { kind, frames } of unpackBatch(packed)) {
    count++;
    try {
      handle(kind, frames);
    } catch (error) {
      onFailure(error);
    }
  }
  return count;
}

/** Hands what came from the schedulers' thread to a hub in this one, and says how many messages that were. */
export function receiveForHub(packed: ArrayBuffer, hub: Monitor, onFailure: OnFailure): number {
  return receive(packed, (kind, frames) => toHub(hub, kind, frames), onFailure);
}

function toHub(hub: Monitor, kind: number, frames: Buffer[]): void {
  switch (kind) {
    case ToHub.in:
      hub.directRequest(frames);
      break;
    case ToHub.out:
      hub.directReply(frames);
      break;
    case ToHub.inTask:
      hub.taskRequest(frames);
      break;
    case ToHub.outTask:
      hub.taskReply(frames);
      break;
    case ToHub.trackTask:
      hub.taskAssigned(String(frames[0]), String(frames[1]));
      break;
    case ToHub.iopub:
      hub.output(frames);
      break;
    case ToHub.newHeart:
      hub.newHeart(String(frames[0]));
      break;
    case ToHub.stoppedHeart:
      hub.stoppedHeart(String(frames[0]));
      break;
  }
}

/** The hub's end of the link: tells the schedulers in another thread. Replies are sent in this one. */
export class SchedulersLink implements Schedulers {
  readonly reply: (frames: Frames) => void;
  readonly #sender: BatchSender;
  readonly #onCall: () => void;

  /** `onCall` is told of each call, before what is replied next. */
  constructor(port: LinkPort, onCall: () => void, reply: (frames: Frames) => void) {
    this.#sender = new BatchSender(port);
    this.#onCall = onCall;
    this.reply = reply;
  }

  notify(frames: Frames): void {
    this.#push(FromHub.notify, frames);
  }
  awaitHeart(uuid: string): void {
    this.#push(FromHub.awaitHeart, [uuid]);
  }
  forgetHeart(uuid: string): void {
    this.#push(FromHub.forgetHeart, [uuid]);
  }
  addEngine(uuid: string): void {
    this.#push(FromHub.addEngine, [uuid]);
  }
  removeEngine(uuid: string): void {
    this.#push(FromHub.removeEngine, [uuid]);
  }
  submitTask(frames: Frames): void {
    this.#push(FromHub.submitTask, frames);
  }
  submitDirect(frames: Frames): void {
    this.#push(FromHub.submitDirect, frames);
  }
  shutdown(): void {
    this.#push(FromHub.shutdown, []);
  }

  #push(kind: FromHub, frames: Frames): void {
    this.#onCall();
    this.#sender.push(
      kind,
      frames.map((frame) => (typeof frame === 'string' ? text(frame) : frame)),
    );
  }
}

/** Hands what came from the hub's thread to the schedulers in this one, and says how many calls that were. */
export function receiveForSchedulers(
  packed: ArrayBuffer,
  schedulers: SchedulerCalls,
  onFailure: OnFailure,
): number {
  return receive(packed, (kind, frames) => toSchedulers(schedulers, kind, frames), onFailure);
}

function toSchedulers(schedulers: SchedulerCalls, kind: number, frames: Buffer[]): void {
  switch (kind) {
    case FromHub.notify:
      schedulers.notify(frames);
      break;
    case FromHub.awaitHeart:
      schedulers.awaitHeart(String(frames[0]));
      break;
    case FromHub.forgetHeart:
      schedulers.forgetHeart(String(frames[0]));
      break;
    case FromHub.addEngine:
      schedulers.addEngine(String(frames[0]));
      break;
    case FromHub.removeEngine:
      schedulers.removeEngine(String(frames[0]));
      break;
    case FromHub.submitTask:
      schedulers.submitTask(frames);
      break;
    case FromHub.submitDirect:
      schedulers.submitDirect(frames);
      break;
    case FromHub.shutdown:
      schedulers.shutdown();
      break;
  }
}
