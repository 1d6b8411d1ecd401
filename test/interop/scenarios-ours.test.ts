import { onGround } from '../support/scenarios/ground.js';
import { scenarios } from '../support/scenarios/index.js';

onGround('ours', '9', scenarios);
