import type { Frames } from '@ipyparallel-js/wire';

/** What the hub has the schedulers' side do. All of it happens in the order of the calls. */
export interface SchedulerCalls {
  /** Publishes on the notification socket. */
  notify(frames: Frames): void;
  awaitHeart(uuid: string): void;
  forgetHeart(uuid: string): void;
  /** Opens the task queue to an engine. */
  addEngine(uuid: string): void;
  removeEngine(uuid: string): void;
  /** Hands a request to the task queue, as if a client had sent it; frames begin with a client identity. */
  submitTask(frames: Frames): void;
  /** Hands a request to an engine; frames begin with the engine's uuid and a client identity. */
  submitDirect(frames: Frames): void;
  /** Ends the controller. */
  shutdown(): void;
}

/** What the hub needs of others: a reply leaves when what was told before it is done. */
export interface Schedulers extends SchedulerCalls {
  /** Sends on the registration socket; the first frame is the receiver's identity. */
  reply(frames: Frames): void;
}

/** What the schedulers tell the hub: copies of the traffic, and events. The hub is never waited for. */
export interface Monitor {
  directRequest(frames: readonly Uint8Array[]): void;
  directReply(frames: readonly Uint8Array[]): void;
  taskRequest(frames: readonly Uint8Array[]): void;
  taskReply(frames: readonly Uint8Array[]): void;
  taskAssigned(msgId: string, engine: string): void;
  output(frames: readonly Uint8Array[]): void;
  newHeart(uuid: string): void;
  stoppedHeart(uuid: string): void;
}
