import { describeStock } from '../support/describe-stock.js';
import { engineIsKilled } from '../support/kills/kill-suite.js';
import { StockKillGround } from '../support/kills/stock-kill-ground.js';

describeStock('9', 'on ipcontroller 9, which forgets its records', () => {
  engineIsKilled(() => StockKillGround.start({ version: '9', engines: 2, db: 'dictdb' }));
});
