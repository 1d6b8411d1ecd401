import { IpyparallelError } from '@ipyparallel-js/protocol';

/** Why a cluster cannot start or run. */
export type ClusterErrorCode =
  /** The Python interpreter cannot be run. */
  | 'PYTHON_NOT_FOUND'
  /** The interpreter cannot import ipyparallel 7 or later. */
  | 'IPYPARALLEL_NOT_INSTALLED'
  /** The controller ended before it was ready. */
  | 'CONTROLLER_ENDED'
  /** An engine ended before it was registered. */
  | 'ENGINE_ENDED'
  /** The cluster was stopped. */
  | 'CLUSTER_STOPPED';

/** A process of a cluster could not be started, or ended too early. The message contains the last lines of its log. */
export class ClusterError extends IpyparallelError {
  declare readonly code: ClusterErrorCode;

  constructor(code: ClusterErrorCode, message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}
