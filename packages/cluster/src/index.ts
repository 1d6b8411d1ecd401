export {
  Cluster,
  type ClusterClientOptions,
  type ClusterController,
  type ClusterEngine,
  type ClusterProcess,
} from './cluster.js';
export { ClusterError, type ClusterErrorCode } from './launch/errors.js';
export type { ClusterOptions, ControllerKind, EngineCounts, EngineKind } from './launch/options.js';
export type { ProcessExit } from './processes/child.js';
