import { stockKills } from '../support/suites/kills/stock-kill-tests.js';

stockKills({ version: '7.1', db: 'dictdb' }, 'short');
