// A stock ipcontroller with Python engines that survive it.
import { StockCluster, type StockClusterOptions } from '../../clusters/stock-cluster.js';
import { RawClient } from '../../fakes/raw-client.js';
import type { Gate } from '../../gate.js';
import { endMarkOf, type KillableCluster, type RestartOptions, runsFile } from './killable-cluster.js';

export class StockKillableCluster implements KillableCluster {
  readonly keepsRecords = false;
  readonly #cluster: StockCluster;

  private constructor(cluster: StockCluster) {
    this.#cluster = cluster;
  }

  static async start(options: StockClusterOptions): Promise<StockKillableCluster> {
    return new StockKillableCluster(await StockCluster.start(options));
  }

  get connectionFile(): string {
    return this.#cluster.connectionFile;
  }

  get directory(): string {
    return this.#cluster.directory;
  }

  async killEngine(id: number): Promise<void> {
    await this.#cluster.killEngine(id, { nanny: 'spare' });
  }

  async killController(): Promise<void> {
    await this.#cluster.killController('SIGKILL');
  }

  async restartController(options: RestartOptions = {}): Promise<void> {
    await this.#cluster.restartController(options.newFiles === true ? [] : ['--restore'], options);
    await using client = RawClient.fromFile(this.connectionFile);
    await client.engines();
  }

  async startEngine(): Promise<number> {
    return await this.#cluster.startEngine();
  }

  task(name: string, until: number | Gate): string {
    const file = JSON.stringify(runsFile(this.directory));
    const note = (line: string): string => `with open(${file}, 'a') as runs: _ = runs.write('${line}\\n')`;
    const wait = typeof until === 'number' ? `import time; time.sleep(${until / 1000})` : until.python;
    return [note(name), wait, note(endMarkOf(name)), `'${name}'`].join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cluster.stop();
  }
}
