// What the other packages and the tests of this project need and users do not. No promise of stability.

export { describeFailure } from './kernel/failures.js';
export { runGenerator } from './kernel/generators.js';
export { rewriteDynamicImports } from './kernel/imports.js';
export { OutputBatcher } from './kernel/output.js';
export { RunningTask } from './kernel/running-task.js';
export { type EngineArguments, HELP, parseEngineArguments } from './options/arguments.js';
export { resolveEngineOptions } from './options/options.js';
export { TaskQueue } from './tasks/task-queue.js';
