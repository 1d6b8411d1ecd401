import { onGround } from '../support/scenarios/ground.js';
import { scenarios } from '../support/scenarios/index.js';

onGround('stock', '7.1', scenarios);
