import { scenarios } from '../support/suites/scenarios/index.js';
import { describeScenarios } from '../support/suites/scenarios/scenario-cluster.js';

describeScenarios('stock', '9', scenarios);
