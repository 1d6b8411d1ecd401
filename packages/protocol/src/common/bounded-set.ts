/** A set of strings with a size limit: adding past the limit removes the oldest member. */
export class BoundedSet {
  readonly #members = new Set<string>();
  /** Kept open on purpose: a new iterator would scan the slots of all members deleted since the set last grew. */
  readonly #oldest = this.#members.values();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Adds a member, or makes it the newest if it is already there. */
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
