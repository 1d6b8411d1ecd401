// For the other packages of this project and its tests; no promise of stability.

export { type Deadline, pause, startDeadline, timeoutError, within } from '@ipyparallel-js/wire';
export { type HubPlan, type HubTraits, planQuery } from './hub-plan.js';
