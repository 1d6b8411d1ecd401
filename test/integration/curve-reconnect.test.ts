import { describe } from 'vitest';
import { curveReconnection } from '../support/suites/kills/curve-suite.js';
import { OurKillGround } from '../support/suites/kills/our-kill-ground.js';

describe('the connection to our controller', () => {
  curveReconnection((env) => OurKillGround.start({ engines: 1, env }));
});
