// For the other packages of this project and its tests; no promise of stability.
export { type HubPlan, type HubTraits, planQuery } from './hub-plan.js';
