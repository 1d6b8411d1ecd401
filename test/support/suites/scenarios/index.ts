import { asyncResultScenarios } from './asyncresult.js';
import { clientScenarios } from './client.js';
import { dependencyScenarios } from './dependency.js';
import type { Scenarios } from './ground.js';
import { labelScenarios } from './label.js';
import { lbviewScenarios } from './lbview.js';
import { broadcastScenarios, viewScenarios } from './view.js';

/** ipyparallel's own test modules, retold; what makes sense in Python alone is listed in docs/python-tests.md. */
export const scenarios: Readonly<Record<string, Scenarios>> = {
  test_asyncresult: asyncResultScenarios,
  test_client: clientScenarios,
  test_dependency: dependencyScenarios,
  test_label: labelScenarios,
  test_lbview: lbviewScenarios,
  test_view: viewScenarios,
  test_view_broadcast: broadcastScenarios,
};
