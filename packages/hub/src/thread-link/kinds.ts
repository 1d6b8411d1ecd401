/** What the schedulers' thread tells the hub. Values are what stands in a batch. */
export const ToHub = {
  /** A copy of a direct request, behind [engine, client]. */
  in: 2,
  /** A copy of a direct reply, behind [client, engine]. */
  out: 3,
  /** A copy of a request to the task queue, behind [client]. */
  inTask: 4,
  /** A copy of a reply of the task queue, behind [client, engine] or [client]. */
  outTask: 5,
  /** [msg_id, engine uuid]: the task queue gave the task to the engine. */
  trackTask: 6,
  /** A copy of engine output, behind its topic. */
  iopub: 7,
  /** [engine uuid]: the first beat of a heart that was awaited. */
  newHeart: 8,
  /** [engine uuid]: the heart missed too many beats. */
  stoppedHeart: 9,
} as const;
export type ToHub = (typeof ToHub)[keyof typeof ToHub];

/** What the hub tells the schedulers' thread. */
export const FromHub = {
  /** A message for the notification socket. */
  notify: 2,
  /** [engine uuid]: tell when this heart beats. */
  awaitHeart: 3,
  /** [engine uuid] */
  forgetHeart: 4,
  /** [engine uuid]: the task queue may use the engine. Comes before its notification. */
  addEngine: 5,
  /** [engine uuid] */
  removeEngine: 6,
  /** A request of the hub's own for the task queue, behind [client identity]. */
  submitTask: 7,
  /** A request of the hub's own for an engine, behind [engine, client identity]. */
  submitDirect: 8,
  /** No frames: a client asked the controller to end. */
  shutdown: 9,
} as const;
export type FromHub = (typeof FromHub)[keyof typeof FromHub];
