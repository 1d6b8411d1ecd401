/** A first-in, first-out queue whose `shift` takes constant time on average. */
export class Fifo<T> {
  #tail: T[] = [];
  /** The older items, in reverse order. */
  #head: T[] = [];

  push(item: T): void {
    this.#tail.push(item);
  }

  shift(): T | undefined {
    if (this.#head.length === 0) {
      this.#head = this.#tail.reverse();
      this.#tail = [];
    }
    return this.#head.pop();
  }

  clear(): void {
    this.#tail = [];
    this.#head = [];
  }

  get length(): number {
    return this.#tail.length + this.#head.length;
  }
}
