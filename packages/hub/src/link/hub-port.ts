import type { Frames } from '@ipyparallel-js/wire';
import { packBatch, type TaggedFrames, unpackBatch } from './frame-batch.js';
import { FromHub, ToHub } from './kinds.js';
import type { Monitor, Schedulers } from './schedulers.js';

/** What both ends of the link are: a MessagePort, the Worker itself, or a stand-in in a test. */
export interface LinkPort {
  postMessage(message: unknown, transfer: readonly ArrayBuffer[]): void;
}

const FLUSH_BYTES = 1 << 20;
/** What the hub only takes down may wait for so long while there is much of it, in ms: each batch wakes its thread. */
const SPACING_MS = 1;

// One queue for requests and copies alike: a client that has its result finds it in the Task Database, because the
// copy of the reply went into this queue before the reply was sent.
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

  constructor(port: LinkPort) {
    this.#sender = new BatchSender(port, SPACING_MS);
  }

  query(frames: readonly Buffer[]): void {
    this.#sender.push(ToHub.query, frames);
    this.#sender.flush();
  }
  directRequest(frames: readonly Uint8Array[]): void {
    this.#sender.push(ToHub.in, frames);
  }
  directReply(frames: readonly Uint8Array[]): void {
    this.#sender.push(ToHub.out, frames);
  }
  taskRequest(frames: readonly Uint8Array[]): void {
    this.#sender.push(ToHub.inTask, frames);
  }
  taskReply(frames: readonly Uint8Array[]): void {
    this.#sender.push(ToHub.outTask, frames);
  }
  taskAssigned(msgId: string, engine: string): void {
    this.#sender.push(ToHub.trackTask, [text(msgId), text(engine)]);
  }
  output(frames: readonly Uint8Array[]): void {
    this.#sender.push(ToHub.iopub, frames);
  }
  newHeart(uuid: string): void {
    this.#sender.push(ToHub.newHeart, [text(uuid)]);
  }
  stoppedHeart(uuid: string): void {
    this.#sender.push(ToHub.stoppedHeart, [text(uuid)]);
  }
}

/** What is done about a message whose handling failed; the others of its batch are handled all the same. */
export type OnFailure = (error: unknown) => void;

function receive(
  packed: ArrayBuffer,
  handle: (kind: number, frames: Buffer[]) => void,
  onFailure: OnFailure,
): void {
  for (const { kind, frames } of unpackBatch(packed)) {
    try {
      handle(kind, frames);
    } catch (error) {
      onFailure(error);
    }
  }
}

/** Hands what came from the schedulers' thread to a hub in this one. */
export function receiveForHub(packed: ArrayBuffer, hub: Monitor, onFailure: OnFailure): void {
  receive(packed, (kind, frames) => toHub(hub, kind, frames), onFailure);
}

function toHub(hub: Monitor, kind: number, frames: Buffer[]): void {
  switch (kind) {
    case ToHub.query:
      hub.query(frames);
      break;
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

/** The hub's end of the link: tells the schedulers in another thread. */
export class SchedulersLink implements Schedulers {
  readonly #sender: BatchSender;

  constructor(port: LinkPort) {
    this.#sender = new BatchSender(port);
  }

  reply(frames: Frames): void {
    this.#push(FromHub.reply, frames);
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
    this.#sender.push(
      kind,
      frames.map((frame) => (typeof frame === 'string' ? text(frame) : frame)),
    );
  }
}

/** Hands what came from the hub's thread to the schedulers in this one. */
export function receiveForSchedulers(
  packed: ArrayBuffer,
  schedulers: Schedulers,
  onFailure: OnFailure,
): void {
  receive(packed, (kind, frames) => toSchedulers(schedulers, kind, frames), onFailure);
}

function toSchedulers(schedulers: Schedulers, kind: number, frames: Buffer[]): void {
  switch (kind) {
    case FromHub.reply:
      schedulers.reply(frames);
      break;
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
