import { stockKills } from '../support/suites/kills/stock-kill-tests.js';

stockKills({ version: '8.8', db: 'sqlitedb' }, 'short');
