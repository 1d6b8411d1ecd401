// For the other packages of this project and its tests, not for users. May change in any release.
export { belongingTo, listProcesses, type ProcessEntry } from './processes/process-table.js';
