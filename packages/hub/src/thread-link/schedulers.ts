import type { Frames } from '@ipyparallel-js/wire';

/** The calls of the hub to the schedulers. The schedulers carry them out in the order of the calls. */
export interface Schedulers {
  /** Publishes a message on the notification socket. */
  notify(frames: Frames): void;
  /** Makes the next heartbeat of an engine call {@link Monitor.newHeart}. */
  awaitHeart(uuid: string): void;
  forgetHeart(uuid: string): void;
  /** Opens the task queue to an engine; the hub calls this before it announces the engine. */
  addEngine(uuid: string): void;
  removeEngine(uuid: string): void;
  /** Submits a request to the task queue as if a client had sent it: [client, delimiter, message]. */
  submitTask(frames: Frames): void;
  /** Sends a request to an engine: [engine, client, delimiter, message]. */
  submitDirect(frames: Frames): void;
  /** Ends the controller. */
  shutdown(): void;
}

/** The calls of the schedulers to the hub: copies of the traffic, and events. The schedulers never wait for the hub. */
export interface Monitor {
  /** [engine, client, delimiter, request] */
  directRequest(frames: readonly Uint8Array[]): void;
  /** [client, engine, delimiter, reply] */
  directReply(frames: readonly Uint8Array[]): void;
  /** [client, delimiter, request] */
  taskRequest(frames: readonly Uint8Array[]): void;
  /** [client, engine, delimiter, reply]; without `engine` if the task queue itself replied. */
  taskReply(frames: readonly Uint8Array[]): void;
  /** The task queue assigned a task to an engine. */
  taskAssigned(msgId: string, engine: string): void;
  /** [topic, delimiter, message] */
  output(frames: readonly Uint8Array[]): void;
  /** An awaited engine has sent its first heartbeat. */
  newHeart(uuid: string): void;
  /** An engine has missed too many heartbeats. */
  stoppedHeart(uuid: string): void;
}
