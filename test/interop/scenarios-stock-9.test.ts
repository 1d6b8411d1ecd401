import { onGround } from '../support/suites/scenarios/ground.js';
import { scenarios } from '../support/suites/scenarios/index.js';

onGround('stock', '9', scenarios);
