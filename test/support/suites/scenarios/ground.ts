// Where the retold scenarios of ipyparallel's own tests run: a cluster with real Python engines behind a stock
// controller of each release, and behind ours.
//
//     export function labelScenarios(ground: () => Ground): void {
//       test('test_balanced_view', async () => { … ground().rc … });
//     }
import { Client, type ConnectOptions } from '@ipyparallel-js/client';
import { afterAll, beforeAll, describe } from 'vitest';
import { OurController } from '../../clusters/our-controller.js';
import { StockCluster, type StockDatabase, type StockVersion } from '../../clusters/stock-cluster.js';
import { describeStock } from '../../python/describe-stock.js';

/** A cluster that scenarios share, with a client of the suite. */
export interface Ground {
  readonly controller: 'stock' | 'ours';
  /** The release of the engines, and of a stock controller. */
  readonly version: StockVersion;
  readonly connectionFile: string;
  /** A client that the tests of one suite share; it has submitted nothing before. */
  readonly rc: Client;
  /** One more client, which the test closes: `await using other = await ground().connect()`. */
  connect(options?: ConnectOptions): Promise<Client>;
  /** Starts one more Python engine; resolves once the hub knows it. A test that kills an engine starts its own. */
  startEngine(): Promise<number>;
  /** Runs a Python script with `sys.argv[1]` the client's connection file; gives what it prints as JSON. */
  runPython<T>(script: string): Promise<T>;
}

export type Scenarios = (ground: () => Ground) => void;

/** As many as ipyparallel's own tests have. */
const ENGINES = 4;

interface Place {
  readonly connectionFile: string;
  startEngine(): Promise<unknown>;
  runPython<T>(script: string): Promise<T>;
  stop(): Promise<void>;
}

/** Runs suites of scenarios on one cluster of a release: a stock one, or our controller with that release's engines. */
export function onGround(
  controller: Ground['controller'],
  version: StockVersion,
  suites: Readonly<Record<string, Scenarios>>,
  db: StockDatabase = 'dictdb',
): void {
  const name = controller === 'stock' ? `ipcontroller ${version}` : `our controller, engines of ${version}`;
  describeStock(version, name, () => {
    let place: Place | undefined;
    let rc: Client | undefined;
    const started = (): Place => {
      if (place === undefined) throw new Error('the cluster has not started');
      return place;
    };
    const connect = (options: ConnectOptions = {}): Promise<Client> =>
      Client.connect({ connectionFile: started().connectionFile, timeout: 60_000, ...options });
    const ground = (): Ground => {
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
          await shared.waitForEngines(before.size + 1, { timeout: 60_000 });
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
          await rc.waitForEngines(ENGINES, { timeout: 60_000 });
        });
        afterAll(() => rc?.close());
        suite(ground);
      });
    }
  });
}
