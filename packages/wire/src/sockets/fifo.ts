/** A first-in, first-out queue whose shift does not move what is left. */
export class Fifo<T> {
  #in: T[] = [];
  #out: T[] = [];

  push(item: T): void {
    this.#in.push(item);
  }

  shift(): T | undefined {
    if (this.#out.length === 0) {
      this.#out = this.#in.reverse();
      this.#in = [];
    }
    return this.#out.pop();
  }

  clear(): void {
    this.#in = [];
    this.#out = [];
  }

  get length(): number {
    return this.#in.length + this.#out.length;
  }
}
