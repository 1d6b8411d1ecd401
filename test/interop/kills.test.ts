import { stockKills } from '../support/kills/stock-kill-tests.js';

stockKills({ version: '9', db: 'dictdb' }, 'full');
