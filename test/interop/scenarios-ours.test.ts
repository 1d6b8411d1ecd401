import { onGround } from '../support/suites/scenarios/ground.js';
import { scenarios } from '../support/suites/scenarios/index.js';

onGround('ours', '9', scenarios);
