// For the other packages of this project and its tests; no promise of stability.
export { type HubPlan, type HubTraits, planQuery } from './hub-plan.js';
export { type Deadline, formatMs, pause, startDeadline, timeoutError, within } from './wait.js';
