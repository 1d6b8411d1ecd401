// For the other packages of this project and its tests, not for users. May change in any release.

export { rewriteDynamicImports } from './kernel/dynamic-imports.js';
export { describeFailure } from './kernel/failures.js';
export { runGenerator } from './kernel/generators.js';
export { OutputBatcher } from './kernel/output-batcher.js';
export { RunningTask } from './kernel/running-task.js';
export { type EngineArguments, HELP, parseEngineArguments } from './options/arguments.js';
export { resolveEngineOptions } from './options/options.js';
export { TaskQueue } from './tasks/task-queue.js';
