// For the other packages of this project and its tests; no promise of stability.

export { ConflatedQueue } from './live/conflated-queue.js';
export { type Difference, type LiveChange, LiveSet } from './live/live-set.js';
export { SignsOfChange } from './live/signs-of-change.js';
export { type HubPlan, type HubTraits, planQuery } from './query/hub-plan.js';
export type { Row } from './query/question.js';
export { parseHandle } from './results/handle.js';
export { appendText } from './results/output-store.js';
export { ProgressBar } from './results/progress-bar.js';
export { ResultCache } from './results/result-cache.js';
export { Task } from './results/task.js';
export { orderOfReplies } from './views/coalesced-replies.js';
export { part, sliceable } from './views/partition.js';
