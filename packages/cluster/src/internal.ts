// For the other packages of this project and its tests; no promise of stability.
export { belongingTo, listProcesses, type ProcessEntry } from './processes/process-table.js';
