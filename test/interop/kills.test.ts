import { describeStock } from '../support/describe-stock.js';
import { controllerIsKilled, engineIsKilled, networkIsCut } from '../support/kills/kill-suite.js';
import { StockKillGround } from '../support/kills/stock-kill-ground.js';

describeStock('9', 'on ipcontroller 9, which forgets its records', () => {
  const start = () => StockKillGround.start({ version: '9', engines: 2, db: 'dictdb' });
  engineIsKilled(start);
  controllerIsKilled(start);
  networkIsCut(start);
});
