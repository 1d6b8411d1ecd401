import { stockKills } from '../support/suites/kills/stock-kill-tests.js';

stockKills({ version: '9', db: 'dictdb' }, 'full');
