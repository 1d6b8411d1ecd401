import { describe } from 'vitest';
import { controllerIsKilled, engineIsKilled, networkIsCut } from '../support/suites/kills/kill-suite.js';
import { OurKillableCluster } from '../support/suites/kills/our-killable-cluster.js';

// Each test has its own cluster and mostly waits.
describe.concurrent('on our controller, which stores its records', () => {
  const start = () => OurKillableCluster.start({ engines: 2, controllerArgs: ['--sqlitedb'] });
  engineIsKilled(start);
  controllerIsKilled(start);
  networkIsCut(start);
});
