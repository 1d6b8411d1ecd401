// For modules that engines import: `import { task } from '@ipyparallel-js/engine/task'`. Also declares the engines'
// global `ipyparallel`.
import type { EngineGlobal } from '@ipyparallel-js/protocol';

export { type EngineGlobal, type TaskContext, type TaskProgress, task } from '@ipyparallel-js/protocol';

declare global {
  /** The running task. Defined on JavaScript engines only. */
  var ipyparallel: EngineGlobal;
}
