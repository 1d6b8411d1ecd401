import { scenarios } from '../support/suites/scenarios/index.js';
import { describeScenarios } from '../support/suites/scenarios/scenario-cluster.js';

describeScenarios('stock', '8.8', scenarios);
