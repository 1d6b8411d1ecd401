export type { ProcessExit } from './child.js';
export {
  Cluster,
  type ClusterClientOptions,
  type ClusterController,
  type ClusterEngine,
  type ClusterProcess,
} from './cluster.js';
export { ClusterError, type ClusterErrorCode } from './errors.js';
export type { ClusterOptions, ControllerKind, EngineCounts, EngineKind } from './options.js';
