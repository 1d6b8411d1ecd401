import { IpyparallelError } from '@ipyparallel-js/protocol';

/** Why a cluster could not be started or kept. */
export type ClusterErrorCode =
  /** No such Python interpreter. */
  | 'PYTHON_NOT_FOUND'
  /** The interpreter has no ipyparallel of version 7 or later. */
  | 'IPYPARALLEL_NOT_INSTALLED'
  /** The controller ended before it served. */
  | 'CONTROLLER_ENDED'
  /** An engine ended before it was registered. */
  | 'ENGINE_ENDED'
  /** The cluster was stopped. */
  | 'CLUSTER_STOPPED';

/** A process of a cluster could not be started or ended too early. The message has the last lines of its log. */
export class ClusterError extends IpyparallelError {
  declare readonly code: ClusterErrorCode;

  constructor(code: ClusterErrorCode, message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}
