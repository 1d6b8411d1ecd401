// What modules that engines import use: `import { task } from '@ipyparallel-js/engine/task'`. Its types know the
// global `ipyparallel` of the engines, too.
import type { EngineGlobal } from '@ipyparallel-js/protocol';

export { type EngineGlobal, type TaskContext, type TaskProgress, task } from '@ipyparallel-js/protocol';

declare global {
  /** On a JavaScript engine: the running task. Not defined elsewhere. */
  var ipyparallel: EngineGlobal;
}
