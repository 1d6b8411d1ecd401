const COPIES_INDEX = 0;
const CALLS_INDEX = 1;
const NOTIFICATION_INDEX = 2;
const ABANDONED_INDEX = 3;

/** Whether `count` is at least `target`. Both wrap around at 2^31. */
export function reaches(count: number, target: number): boolean {
  return ((count - target) | 0) >= 0;
}

/**
 * Counters in memory shared by the two threads of a controller: how many copies the schedulers have for the hub, and
 * how many calls of the hub the schedulers have carried out. The hub's thread owns the query socket, so a request can
 * arrive there before copies that were made earlier; the counters show that.
 */
export class LinkCounts {
  readonly shared: SharedArrayBuffer;
  readonly #values: Int32Array;

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(16)) {
    this.shared = shared;
    this.#values = new Int32Array(shared);
  }

  /** Copies made by the schedulers' thread for the hub, sent or queued. */
  get copies(): number {
    return Atomics.load(this.#values, COPIES_INDEX);
  }

  addCopy(): void {
    Atomics.add(this.#values, COPIES_INDEX, 1);
  }

  /** Calls of the hub that the schedulers' thread has carried out. */
  get calls(): number {
    return Atomics.load(this.#values, CALLS_INDEX);
  }

  /** Counts calls carried out by the schedulers' thread. @returns whether the hub must be notified */
  addCalls(count: number): boolean {
    Atomics.add(this.#values, CALLS_INDEX, count);
    return Atomics.exchange(this.#values, NOTIFICATION_INDEX, 0) === 1;
  }

  /** Requests a notification of the next calls carried out. The hub must read {@link calls} again after this. */
  awaitCalls(): void {
    Atomics.store(this.#values, NOTIFICATION_INDEX, 1);
  }

  /** Whether the hub's thread has closed its socket, so that the thread can be terminated. */
  get isAbandoned(): boolean {
    return Atomics.load(this.#values, ABANDONED_INDEX) === 1;
  }

  abandon(): void {
    Atomics.store(this.#values, ABANDONED_INDEX, 1);
    Atomics.notify(this.#values, ABANDONED_INDEX);
  }

  /** Blocks this thread until the hub's thread has closed its socket, for at most `timeout` ms. */
  blockUntilAbandoned(timeout: number): void {
    Atomics.wait(this.#values, ABANDONED_INDEX, 0, timeout);
  }
}
