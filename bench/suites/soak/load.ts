import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { Client, type ExecuteReply } from '@ipyparallel-js/client';
import { WatchCheck } from './watch-check.js';

export interface LoadCounts {
  readonly results: number;
  readonly events: number;
  /** The number of records that the watch of all tasks contains. */
  readonly watched: number;
}

const KEYS = ['client_uuid', 'engine_uuid', 'completed', 'result_content', 'stdout'] as const;
/** The timeout of every wait, in ms. */
const TIMEOUT = 60_000;
/** How long the watch may emit no event while tasks end, in ms. */
const MAX_IDLE_MS = 10_000;

/** Repeats submissions, watches, queries and result reads until it is stopped. */
export class Load {
  readonly #rc: Client;
  readonly #otherClient: Client;
  readonly #language: 'javascript' | 'python';
  readonly #stop: AbortSignal;
  readonly #watchOfAll = new WatchCheck<{ readonly msg_id: string }>();
  #results = 0;
  #events = 0;
  #next = 0;

  constructor(rc: Client, otherClient: Client, language: 'javascript' | 'python', stop: AbortSignal) {
    this.#rc = rc;
    this.#otherClient = otherClient;
    this.#language = language;
    this.#stop = stop;
  }

  get counts(): LoadCounts {
    return {
      results: this.#results,
      events: this.#events + this.#watchOfAll.events,
      watched: this.#watchOfAll.known.size,
    };
  }

  get faults(): readonly string[] {
    return this.#watchOfAll.faults;
  }

  /** Runs until the stop signal aborts. Rejects with the first error. */
  async run(inFlight: number, rate: number): Promise<void> {
    const watchOfAll = this.#rc.dbQuery({}, KEYS).watch();
    const subscription = watchOfAll.subscribe({
      next: this.#watchOfAll.handleEvent,
      error: (error: unknown) => this.#watchOfAll.faults.push(`the watch failed: ${String(error)}`),
    });
    try {
      await Promise.all([
        ...Array.from({ length: inFlight }, () =>
          this.#repeat(async () => {
            const due = sleep((inFlight / rate) * 1000);
            await this.#runTask();
            await due;
          }),
        ),
        this.#repeat(() => this.#readOtherResults()),
        this.#repeat(() => this.#openAndCloseWatch()),
        this.#repeat(() => this.#query()),
        this.#readWatchWithDelays(),
      ]);
      await sleep(0);
    } finally {
      this.#finish = () => subscription.unsubscribe();
    }
  }

  /** Reports a fault if tasks end but the watch of all tasks has emitted no event for ten seconds. */
  checkWatchProgress(): void {
    const now = performance.now();
    if (
      this.#watchOfAll.events > this.#lastProgress.events ||
      this.#results < this.#lastProgress.results + 10
    ) {
      this.#lastProgress = { events: this.#watchOfAll.events, results: this.#results, at: now };
    } else if (now - this.#lastProgress.at > MAX_IDLE_MS) {
      this.#watchOfAll.faults.push(
        `the watch emitted no event for ${Math.round(now - this.#lastProgress.at)} ms`,
      );
      this.#lastProgress = { events: this.#watchOfAll.events, results: this.#results, at: now };
    }
  }

  #lastProgress = { events: 0, results: 0, at: performance.now() };
  #finish: () => void = () => undefined;

  /** Waits until the watch contains the same records as the hub. */
  async waitForConsistency(connectionFile: string): Promise<void> {
    await using reader = await Client.connect({ connectionFile, timeout: TIMEOUT });
    const until = performance.now() + TIMEOUT;
    for (;;) {
      const expectedTasks = new Map(
        (await reader.dbQuery({}, KEYS)).map((record) => [record.msg_id, record] as const),
      );
      if (isDeepStrictEqual(new Map(this.#watchOfAll.known), expectedTasks)) break;
      if (performance.now() > until) {
        this.#watchOfAll.faults.push(
          `the watch contains ${this.#watchOfAll.known.size} records and the hub ${expectedTasks.size}, or their content differs`,
        );
        break;
      }
      await sleep(100);
    }
    if (this.#rc.outstanding.length > 0)
      this.#watchOfAll.faults.push(`${this.#rc.outstanding.length} tasks are outstanding`);
    this.#finish();
  }

  async #repeat(step: () => Promise<void>): Promise<void> {
    while (!this.#stop.aborted) await step();
  }

  /** Runs one task, alternately direct and load-balanced. Reads all results except every twentieth. */
  async #runTask(): Promise<void> {
    const n = this.#next++;
    const [id = 0] = this.#rc.ids;
    const view = n % 2 === 0 ? this.#rc.directView(id) : this.#rc.loadBalancedView();
    const code =
      this.#language === 'python' ? `print(${n}); 'r' * 2000` : `console.log(${n}); 'r'.repeat(2000)`;
    const result = view.execute(code);
    if (n % 20 === 0) {
      await result.wait({ timeout: TIMEOUT });
    } else {
      const { stdout } = (await result.get({ timeout: TIMEOUT })) as ExecuteReply;
      if (stdout !== `${n}\n`) throw new Error(`task ${n} printed ${JSON.stringify(stdout)}`);
    }
    this.#results++;
  }

  /** Reads a result of another client, and one of a task that fails. */
  async #readOtherResults(): Promise<void> {
    const otherTask = this.#otherClient.loadBalancedView().execute('6 * 7');
    const { text } = await this.#rc
      .getResult<ExecuteReply>(otherTask.msgIds[0] ?? '')
      .get({ timeout: TIMEOUT });
    if (text !== '42') throw new Error(`another client's task returned ${text} instead of 42`);
    const failure = await this.#rc
      .loadBalancedView()
      .execute('nobody.knows')
      .get({ timeout: TIMEOUT })
      .then(
        () => 'no failure',
        (error: Error) => error.name,
      );
    if (!/RemoteError/.test(failure))
      throw new Error(`a failing task ended with ${failure} instead of a RemoteError`);
    this.#results += 2;
    await sleep(20);
  }

  /** Opens a watch and closes it after some events. */
  async #openAndCloseWatch(): Promise<void> {
    let events = 0;
    const openTasks = this.#rc.dbQuery({ completed: null }, KEYS).watch({ signal: this.#stop });
    await this.#untilStopped(async () => {
      for await (const _ of openTasks) {
        this.#events++;
        if (++events > 10) break;
      }
    });
    await sleep(100);
  }

  /** Reads a watch with a delay after each event. */
  async #readWatchWithDelays(): Promise<void> {
    const ownTasks = { client_uuid: this.#rc.session.session };
    const pacedWatch = this.#rc.dbQuery(ownTasks).watch({ pace: 200, signal: this.#stop });
    await this.#untilStopped(async () => {
      for await (const _ of pacedWatch) {
        this.#events++;
        await sleep(20);
      }
    });
  }

  /** Runs a step and ignores its error after the stop signal. */
  async #untilStopped(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      if (!this.#stop.aborted) throw error;
    }
  }

  async #query(): Promise<void> {
    await this.#rc.dbQuery({ completed: { $ne: null } }).count();
    await this.#rc.dbQuery({ stdout: { $ne: '' } }, { keys: KEYS, limit: 50, sort: { completed: -1 } });
    await this.#rc.queueStatus();
    await sleep(100);
  }
}
