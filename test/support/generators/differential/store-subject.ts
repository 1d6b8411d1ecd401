// Subject: one of our stores, without a hub.
import type { StoredTask, TaskDatabase } from '@ipyparallel-js/hub/internal';
import { DEFAULT_SORT, parseQuery, parseSort } from '@ipyparallel-js/protocol/internal';
import type { PagedQuery, Subject } from './subject.js';

export class StoreSubject implements Subject {
  readonly name: string;
  readonly concurrency = 1;
  readonly #open: () => Promise<TaskDatabase>;
  #store: TaskDatabase | undefined;

  /** @param open opens an empty store */
  constructor(name: string, open: () => Promise<TaskDatabase>) {
    this.name = name;
    this.#open = open;
  }

  async load(tasks: readonly StoredTask[]): Promise<readonly StoredTask[]> {
    this.#store ??= await this.#open();
    await this.#store.remove({ query: parseQuery({}) });
    await this.#store.write(tasks.map((task) => ({ op: 'add', task })));
    return tasks;
  }

  async ids({ query, sort, skip, limit }: PagedQuery): Promise<readonly string[]> {
    if (this.#store === undefined) throw new Error('nothing was loaded');
    const ids: string[] = [];
    const options = {
      keys: ['msg_id' as const],
      sort: sort === undefined ? DEFAULT_SORT : parseSort(sort),
      ...(skip === undefined ? {} : { skip }),
      ...(limit === undefined ? {} : { limit }),
    };
    for await (const tasks of this.#store.find(parseQuery(query), options))
      for (const task of tasks) ids.push(task.msg_id);
    return ids;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store?.close();
  }
}
