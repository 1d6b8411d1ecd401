// The clusters for the scenarios of ipyparallel's own tests: real Python engines with a stock controller of each release,
// and with ours.
//
//     export function labelScenarios(cluster: () => ScenarioCluster): void {
//       test('test_balanced_view', async () => { … cluster().rc … });
//     }
import { Client, type ConnectOptions } from '@ipyparallel-js/client';
import { afterAll, beforeAll, describe } from 'vitest';
import { OurController } from '../../clusters/our-controller.js';
import { StockCluster, type StockDatabase, type StockVersion } from '../../clusters/stock-cluster.js';
import { describeStock } from '../../python/describe-stock.js';

/** A cluster that scenarios share, with a client of the suite. */
export interface ScenarioCluster {
  readonly controller: 'stock' | 'ours';
  /** The release of the engines, and of a stock controller. */
  readonly version: StockVersion;
  readonly connectionFile: string;
  /** A client that the tests of one suite share; it has no earlier tasks. */
  readonly rc: Client;
  /** Connects another client, which the test closes: `await using other = await cluster().connect()`. */
  connect(options?: ConnectOptions): Promise<Client>;
  /** Starts another Python engine; resolves when it is registered. A test that kills an engine must start one. */
  startEngine(): Promise<number>;
  /** Runs a Python script with the client's connection file as `sys.argv[1]`; returns the JSON that it prints. */
  runPython<T>(script: string): Promise<T>;
}

export type Scenarios = (cluster: () => ScenarioCluster) => void;

/** The number of engines in ipyparallel's own tests. */
const ENGINES = 4;

interface StartedCluster {
  readonly connectionFile: string;
  startEngine(): Promise<unknown>;
  runPython<T>(script: string): Promise<T>;
  stop(): Promise<void>;
}

/** Runs scenarios on one cluster: a stock controller, or ours with engines of that release. */
export function describeScenarios(
  controller: ScenarioCluster['controller'],
  version: StockVersion,
  suites: Readonly<Record<string, Scenarios>>,
  db: StockDatabase = 'dictdb',
): void {
  const name = controller === 'stock' ? `ipcontroller ${version}` : `our controller, engines of ${version}`;
  describeStock(version, name, () => {
    let place: StartedCluster | undefined;
    let rc: Client | undefined;
    const started = (): StartedCluster => {
      if (place === undefined) throw new Error('the cluster has not started');
      return place;
    };
    const connect = (options: ConnectOptions = {}): Promise<Client> =>
      Client.connect({ connectionFile: started().connectionFile, timeout: 60_000, ...options });
    const cluster = (): ScenarioCluster => {
      if (rc === undefined) throw new Error('the client has not connected');
      const shared = rc;
      return {
        controller,
        version,
        connectionFile: started().connectionFile,
        rc: shared,
        connect,
        startEngine: async () => {
          const before = new Set(shared.ids);
          await started().startEngine();
          await shared.waitForEngines(before.size + 1, { timeout: 120_000 });
          const id = shared.ids.find((candidate) => !before.has(candidate));
          if (id === undefined) throw new Error('no new engine registered');
          return id;
        },
        runPython: (script) => started().runPython(script),
      };
    };

    beforeAll(async () => {
      place =
        controller === 'stock'
          ? await StockCluster.start({ version, db, engines: ENGINES })
          : await OurController.start({ version, engines: ENGINES });
    });
    afterAll(() => place?.stop());

    for (const [title, suite] of Object.entries(suites)) {
      describe(title, () => {
        beforeAll(async () => {
          rc = await connect();
          await rc.waitForEngines(ENGINES, { timeout: 120_000 });
        });
        afterAll(() => rc?.close());
        suite(cluster);
      });
    }
  });
}
