import { describe } from 'vitest';
import { curveReconnection } from '../support/suites/kills/curve-suite.js';
import { OurKillableCluster } from '../support/suites/kills/our-killable-cluster.js';

describe('the connection to our controller', () => {
  curveReconnection((env) => OurKillableCluster.start({ engines: 1, env }));
});
