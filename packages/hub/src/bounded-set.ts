/** A set of texts that forgets its oldest members past a size. */
export class BoundedSet {
  readonly #members = new Set<string>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(member: string): void {
    this.#members.delete(member);
    this.#members.add(member);
    if (this.#members.size > this.#limit) {
      for (const oldest of this.#members) {
        this.#members.delete(oldest);
        break;
      }
    }
  }

  has(member: string): boolean {
    return this.#members.has(member);
  }

  delete(member: string): boolean {
    return this.#members.delete(member);
  }

  get size(): number {
    return this.#members.size;
  }

  [Symbol.iterator](): IterableIterator<string> {
    return this.#members.values();
  }
}
