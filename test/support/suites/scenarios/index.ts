import { asyncResultScenarios } from './asyncresult.js';
import { clientScenarios } from './client.js';
import { dependencyScenarios } from './dependency.js';
import { labelScenarios } from './label.js';
import { lbviewScenarios } from './lbview.js';
import type { Scenarios } from './scenario-cluster.js';
import { broadcastScenarios, viewScenarios } from './view.js';

/** The tests of ipyparallel's own modules as scenarios. docs/python-tests.md lists those that make sense in Python only. */
export const scenarios: Readonly<Record<string, Scenarios>> = {
  test_asyncresult: asyncResultScenarios,
  test_client: clientScenarios,
  test_dependency: dependencyScenarios,
  test_label: labelScenarios,
  test_lbview: lbviewScenarios,
  test_view: viewScenarios,
  test_view_broadcast: broadcastScenarios,
};
