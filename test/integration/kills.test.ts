import { describe } from 'vitest';
import { controllerIsKilled, engineIsKilled, networkIsCut } from '../support/suites/kills/kill-suite.js';
import { OurKillGround } from '../support/suites/kills/our-kill-ground.js';

// Each has a cluster of its own, and most of their time they wait.
describe.concurrent('on our controller, which keeps its records', () => {
  const start = () => OurKillGround.start({ engines: 2, controllerArgs: ['--sqlitedb'] });
  engineIsKilled(start);
  controllerIsKilled(start);
  networkIsCut(start);
});
