/** A set of texts that forgets its oldest members past a size. */
export class BoundedSet {
  readonly #members = new Set<string>();
  /** Goes on where it was: whoever starts anew passes the places of all that were deleted since the set last grew. */
  readonly #oldest = this.#members.values();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Adds a member as the newest. */
  add(member: string): void {
    this.#members.delete(member);
    this.#members.add(member);
    if (this.#members.size <= this.#limit) return;
    const { value } = this.#oldest.next();
    if (value !== undefined) this.#members.delete(value);
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
