import { describeStock } from '../support/python/describe-stock.js';
import { curveReconnection } from '../support/suites/kills/curve-suite.js';
import { StockKillableCluster } from '../support/suites/kills/stock-killable-cluster.js';

describeStock('9', 'the connection to a controller of ipyparallel 9', () => {
  curveReconnection((env) => StockKillableCluster.start({ version: '9', engines: 1, env }));
});
