/** One after another: what is asked of a hub that answers one at a time. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs it when everything before has ended, however it ended. */
  take<T>(run: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(run);
    this.#last = mine.catch(() => undefined);
    return mine;
  }
}
