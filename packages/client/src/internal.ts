// Exports for this project's other packages and its tests. They may change in any release.

export { type Connection, type ConnectionOptions, openConnection } from './connection/connection.js';
export { parseSshServer } from './connection/ssh-server.js';
export { type HubPlan, type HubTraits, planQuery } from './hub/query-planner.js';
export type { Row } from './hub/record-query.js';
export { ConflatedQueue } from './live/conflated-queue.js';
export { type Difference, type LiveChange, LiveSet } from './live/live-set.js';
export { RecheckSchedule } from './live/recheck-schedule.js';
export { parseHandle } from './results/handle.js';
export { ProgressBar } from './results/progress-bar.js';
export { appendText } from './tasks/output-store.js';
export { ResultCache } from './tasks/result-cache.js';
export { SubmissionHistory } from './tasks/submission-history.js';
export { Task } from './tasks/task.js';
export { orderOfReplies } from './views/coalesced-replies.js';
export { part, toSliceable } from './views/partition.js';
export { ViewHistory } from './views/view-history.js';
