import { onGround } from '../support/suites/scenarios/ground.js';
import { scenarios } from '../support/suites/scenarios/index.js';

onGround('stock', '7.1', scenarios);
