import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { Client, type ExecuteReply } from '@ipyparallel-js/client';
import { WatchCheck } from './watch-check.js';

/** What the load has done so far. */
export interface LoadCounts {
  readonly results: number;
  readonly events: number;
  /** Records that a watch of everything has now. */
  readonly watched: number;
}

const KEYS = ['client_uuid', 'engine_uuid', 'completed', 'result_content', 'stdout'] as const;
/** The time within which anything has to come, in ms. */
const PATIENCE = 60_000;
const STANDSTILL_MS = 10_000;

/** Everything that a client does in its life, again and again, until it is told to stop. */
export class Load {
  readonly #rc: Client;
  readonly #colleague: Client;
  readonly #language: 'javascript' | 'python';
  readonly #stop: AbortSignal;
  readonly #all = new WatchCheck<{ readonly msg_id: string }>();
  #results = 0;
  #events = 0;
  #next = 0;

  constructor(rc: Client, colleague: Client, language: 'javascript' | 'python', stop: AbortSignal) {
    this.#rc = rc;
    this.#colleague = colleague;
    this.#language = language;
    this.#stop = stop;
  }

  get counts(): LoadCounts {
    return { results: this.#results, events: this.#events + this.#all.events, watched: this.#all.known.size };
  }

  get faults(): readonly string[] {
    return this.#all.faults;
  }

  /** Works until it is told to stop. Rejects with the first thing that goes wrong. */
  async run(inFlight: number, rate: number): Promise<void> {
    const everything = this.#rc.dbQuery({}, KEYS).watch();
    const watching = everything.subscribe({
      next: this.#all.take,
      error: (error: unknown) => this.#all.faults.push(`the watch failed: ${String(error)}`),
    });
    try {
      await Promise.all([
        ...Array.from({ length: inFlight }, () =>
          this.#again(async () => {
            const due = sleep((inFlight / rate) * 1000);
            await this.#task();
            await due;
          }),
        ),
        this.#again(() => this.#others()),
        this.#again(() => this.#briefWatch()),
        this.#again(() => this.#query()),
        this.#slowWatch(),
      ]);
      await sleep(0);
    } finally {
      this.#finish = () => watching.unsubscribe();
    }
  }

  /** While tasks end, a watch of everything has something to tell; it may be late, but not for this long. */
  lookAtTheWatch(): void {
    const now = performance.now();
    if (this.#all.events > this.#seen.events || this.#results < this.#seen.results + 10) {
      this.#seen = { events: this.#all.events, results: this.#results, at: now };
    } else if (now - this.#seen.at > STANDSTILL_MS) {
      this.#all.faults.push(`the watch told nothing for ${Math.round(now - this.#seen.at)} ms`);
      this.#seen = { events: this.#all.events, results: this.#results, at: now };
    }
  }

  #seen = { events: 0, results: 0, at: performance.now() };
  #finish: () => void = () => undefined;

  /** The watch has told what a client that has just come reads. */
  async settle(connectionFile: string): Promise<void> {
    await using fresh = await Client.connect({ connectionFile });
    const until = performance.now() + PATIENCE;
    for (;;) {
      const truth = new Map(
        (await fresh.dbQuery({}, KEYS)).map((record) => [record.msg_id, record] as const),
      );
      if (isDeepStrictEqual(new Map(this.#all.known), truth)) break;
      if (performance.now() > until) {
        this.#all.faults.push(
          `the watch has ${this.#all.known.size} records, the hub ${truth.size}, or they differ`,
        );
        break;
      }
      await sleep(100);
    }
    if (this.#rc.outstanding.length > 0)
      this.#all.faults.push(`${this.#rc.outstanding.length} tasks are outstanding`);
    this.#finish();
  }

  async #again(step: () => Promise<void>): Promise<void> {
    while (!this.#stop.aborted) await step();
  }

  /** A task of one kind after the other; its result is read, but for one in twenty. */
  async #task(): Promise<void> {
    const n = this.#next++;
    const [id = 0] = this.#rc.ids;
    const view = n % 2 === 0 ? this.#rc.directView(id) : this.#rc.loadBalancedView();
    const code =
      this.#language === 'python' ? `print(${n}); 'r' * 2000` : `console.log(${n}); 'r'.repeat(2000)`;
    const result = view.execute(code);
    if (n % 20 === 0) {
      await result.wait({ timeout: PATIENCE });
    } else {
      const { stdout } = (await result.get({ timeout: PATIENCE })) as ExecuteReply;
      if (stdout !== `${n}\n`) throw new Error(`task ${n} printed ${JSON.stringify(stdout)}`);
    }
    this.#results++;
  }

  /** A colleague's result, and one that fails. */
  async #others(): Promise<void> {
    const theirs = this.#colleague.loadBalancedView().execute('6 * 7');
    const { text } = await this.#rc
      .getResult<ExecuteReply>(theirs.msgIds[0] ?? '')
      .get({ timeout: PATIENCE });
    if (text !== '42') throw new Error(`a colleague's task gave ${text}`);
    const failure = await this.#rc
      .loadBalancedView()
      .execute('nobody.knows')
      .get({ timeout: PATIENCE })
      .then(
        () => 'no failure',
        (error: Error) => error.name,
      );
    if (!/RemoteError/.test(failure)) throw new Error(`a task that fails gave ${failure}`);
    this.#results += 2;
    await sleep(20);
  }

  /** A watch that is left after some changes. */
  async #briefWatch(): Promise<void> {
    let seen = 0;
    const open = this.#rc.dbQuery({ completed: null }, KEYS).watch({ signal: this.#stop });
    await this.#untilStopped(async () => {
      for await (const _ of open) {
        this.#events++;
        if (++seen > 10) break;
      }
    });
    await sleep(100);
  }

  /** A watch whose reader is slow. */
  async #slowWatch(): Promise<void> {
    const mine = { client_uuid: this.#rc.session.session };
    const paced = this.#rc.dbQuery(mine).watch({ pace: 200, signal: this.#stop });
    await this.#untilStopped(async () => {
      for await (const _ of paced) {
        this.#events++;
        await sleep(20);
      }
    });
  }

  /** Runs what the end of the load aborts. */
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
