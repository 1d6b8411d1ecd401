// Results that a test waits for. Each must settle, whatever happens to its task.
import type { AsyncResult } from '@ipyparallel-js/client';
import { expect } from 'vitest';
import type { Gate } from '../../gate.js';
import { type KillableCluster, runs } from './killable-cluster.js';

/** The outcome of one result: its value as text, or the code of its error. */
export interface Settled {
  readonly name: string;
  readonly value?: string | null;
  readonly code?: string;
  readonly message?: string;
  readonly status: string;
}

/** Results by the names of their tasks. */
export class Outstanding {
  readonly #cluster: KillableCluster;
  readonly #results = new Map<string, AsyncResult<{ readonly text: string | null }>>();

  constructor(cluster: KillableCluster) {
    this.#cluster = cluster;
  }

  get results(): readonly AsyncResult<{ readonly text: string | null }>[] {
    return [...this.#results.values()];
  }

  /** Creates the code of a task, submits the task with `submit`, and adds its result. */
  add(
    name: string,
    until: number | Gate,
    submit: (code: string) => AsyncResult<{ readonly text: string | null }>,
  ): AsyncResult<{ readonly text: string | null }> {
    const result = submit(this.#cluster.task(name, until));
    this.#results.set(name, result);
    return result;
  }

  /** Adds the result of a task that another client submitted under this name. */
  follow(name: string, result: AsyncResult<{ readonly text: string | null }>): void {
    this.#results.set(name, result);
  }

  /**
   * Waits until every result has settled, at most `timeout` ms. Expects that each value is that of its task and that no
   * task has begun twice.
   */
  async settled(timeout: number): Promise<ReadonlyMap<string, Settled>> {
    const all = await Promise.all(
      [...this.#results].map(async ([name, result]): Promise<Settled> => {
        const status = (): string => result.statuses.join();
        try {
          const { text } = await result.get({ timeout });
          return { name, value: text, status: status() };
        } catch (error) {
          const { code, message } = error as { code?: string; message: string };
          return { name, code: code ?? 'none', message, status: status() };
        }
      }),
    );
    expect(all.filter(({ code }) => code === 'TIMEOUT')).toEqual([]);
    for (const { name, value } of all) if (value !== undefined) expect(value).toBe(`'${name}'`);
    const begun = runs(this.#cluster);
    expect(begun.filter((name, i) => begun.indexOf(name) !== i)).toEqual([]);
    // Every task with a value has run.
    const valued = all.filter(({ value }) => value !== undefined).map(({ name }) => name);
    expect(begun).toEqual(expect.arrayContaining(valued));
    return new Map(all.map((one) => [one.name, one]));
  }
}
