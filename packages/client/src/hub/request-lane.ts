/** Runs requests one at a time: a Python hub serves all its clients from one thread. */
export class RequestLane {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs a request after every earlier one has settled, successfully or not. */
  run<T>(request: () => Promise<T>): Promise<T> {
    const result = this.#last.then(request);
    this.#last = result.catch(() => undefined);
    return result;
  }
}
