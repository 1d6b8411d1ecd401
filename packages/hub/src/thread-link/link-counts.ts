const COPIES = 0;
const CALLS = 1;
const WAITING = 2;
const ABANDONED = 3;

/** Whether one count has come as far as another; both go round past 2^31. */
export function reaches(count: number, until: number): boolean {
  return ((count - until) | 0) >= 0;
}

/**
 * What both threads of a controller see at once: how much one has told the other. The query socket is in the hub's
 * thread, so a question can be there before the copies that came first; by these numbers the hub knows.
 */
export class LinkCounts {
  readonly shared: SharedArrayBuffer;
  readonly #values: Int32Array;

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(16)) {
    this.shared = shared;
    this.#values = new Int32Array(shared);
  }

  /** Copies that the schedulers' thread has for the hub, sent or about to be. */
  get copies(): number {
    return Atomics.load(this.#values, COPIES);
  }

  addCopy(): void {
    Atomics.add(this.#values, COPIES, 1);
  }

  /** Calls of the hub that the schedulers' thread has carried out. */
  get calls(): number {
    return Atomics.load(this.#values, CALLS);
  }

  /** The schedulers' thread has carried out more; true when the hub is to be told. */
  addCalls(count: number): boolean {
    Atomics.add(this.#values, CALLS, count);
    return Atomics.exchange(this.#values, WAITING, 0) === 1;
  }

  /** The hub wants to be told of the next calls carried out. Those before it must be looked for after this. */
  awaitCalls(): void {
    Atomics.store(this.#values, WAITING, 1);
  }

  /** The hub's thread has no socket (any more): it may be ended. */
  get abandoned(): boolean {
    return Atomics.load(this.#values, ABANDONED) === 1;
  }

  abandon(): void {
    Atomics.store(this.#values, ABANDONED, 1);
    Atomics.notify(this.#values, ABANDONED);
  }

  /** Blocks this thread until the other has no socket, `timeout` ms at most. */
  blockUntilAbandoned(timeout: number): void {
    Atomics.wait(this.#values, ABANDONED, 0, timeout);
  }
}
