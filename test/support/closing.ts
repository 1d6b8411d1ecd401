/** What was opened, closed in the opposite order; `AsyncDisposableStack`, which Node 20 does not have. */
export class Closing {
  readonly #open: AsyncDisposable[] = [];

  use<T extends AsyncDisposable>(resource: T): T {
    this.#open.push(resource);
    return resource;
  }

  /** Closes all of it, also when some of it fails to close; the first failure is thrown. */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (let resource = this.#open.pop(); resource !== undefined; resource = this.#open.pop()) {
      try {
        await resource[Symbol.asyncDispose]();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
