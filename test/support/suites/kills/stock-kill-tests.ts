import type { StockClusterOptions } from '../../clusters/stock-cluster.js';
import { describeStock } from '../../python/describe-stock.js';
import { controllerIsKilled, engineIsKilled, networkIsCut } from './kill-suite.js';
import { StockKillableCluster } from './stock-killable-cluster.js';

/**
 * The kill suite on a stock controller, in full or in short: one killed engine and one killed controller.
 * `KILLS_FULL=1` selects the full suite everywhere.
 */
export function stockKills({ version, db }: StockClusterOptions, form: 'full' | 'short'): void {
  describeStock(version, `on ipcontroller ${version} with ${db}, which does not keep its records`, () => {
    const start = () =>
      StockKillableCluster.start({ version, engines: 2, ...(db === undefined ? {} : { db }) });
    const full = form === 'full' || process.env.KILLS_FULL === '1';
    engineIsKilled(start);
    controllerIsKilled(start, full ? ['once', 'twice'] : ['once']);
    if (full) networkIsCut(start);
  });
}
