import type { StockClusterOptions } from '../../clusters/stock-cluster.js';
import { describeStock } from '../../python/describe-stock.js';
import { controllerIsKilled, engineIsKilled, networkIsCut } from './kill-suite.js';
import { StockKillGround } from './stock-kill-ground.js';

/**
 * The kill suite on a stock controller: all of it, or in short an engine and a controller that are killed once. With
 * `KILLS_FULL=1` all of it everywhere.
 */
export function stockKills({ version, db }: StockClusterOptions, form: 'full' | 'short'): void {
  describeStock(version, `on ipcontroller ${version} with ${db}, which forgets its records`, () => {
    const start = () => StockKillGround.start({ version, engines: 2, ...(db === undefined ? {} : { db }) });
    const full = form === 'full' || process.env.KILLS_FULL === '1';
    engineIsKilled(start);
    controllerIsKilled(start, full ? ['once', 'twice'] : ['once']);
    if (full) networkIsCut(start);
  });
}
