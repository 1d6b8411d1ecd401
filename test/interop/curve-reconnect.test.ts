import { describeStock } from '../support/python/describe-stock.js';
import { curveReconnection } from '../support/suites/kills/curve-suite.js';
import { StockKillGround } from '../support/suites/kills/stock-kill-ground.js';

describeStock('9', 'the connection to a controller of ipyparallel 9', () => {
  curveReconnection((env) => StockKillGround.start({ version: '9', engines: 1, env }));
});
