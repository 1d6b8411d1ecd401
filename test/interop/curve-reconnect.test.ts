import { describeStock } from '../support/describe-stock.js';
import { curveReconnection } from '../support/kills/curve-suite.js';
import { StockKillGround } from '../support/kills/stock-kill-ground.js';

describeStock('9', 'the connection to a controller of ipyparallel 9', () => {
  curveReconnection((env) => StockKillGround.start({ version: '9', engines: 1, env }));
});
