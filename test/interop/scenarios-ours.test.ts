import { scenarios } from '../support/suites/scenarios/index.js';
import { describeScenarios } from '../support/suites/scenarios/scenario-cluster.js';

describeScenarios('ours', '9', scenarios);
