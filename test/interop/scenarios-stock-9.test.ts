import { onGround } from '../support/scenarios/ground.js';
import { scenarios } from '../support/scenarios/index.js';

onGround('stock', '9', scenarios);
