import type { Child } from '../processes/child.js';
import { ClusterError } from './errors.js';

/** Creates the error for a controller or an engine that ended before it was ready. */
export function earlyExitError(
  child: Child,
  role: 'controller' | 'engine',
  python: string | undefined,
): ClusterError {
  const log = child.readLog();
  if (child.failure !== undefined) {
    return new ClusterError(
      'PYTHON_NOT_FOUND',
      `the ${role} needs Python, and ${python} cannot be run (${child.failure.code ?? child.failure.message}): install Python 3, or set the option python or the environment variable PYTHON to an interpreter`,
      { cause: child.failure },
    );
  }
  if (python !== undefined && /No module named '?ipyparallel/.test(log)) {
    return new ClusterError(
      'IPYPARALLEL_NOT_INSTALLED',
      `the ${role} needs ipyparallel 7 or newer, and ${python} cannot import it: install it with ${python} -m pip install ipyparallel, or set the option python or the environment variable PYTHON to another interpreter`,
    );
  }
  return new ClusterError(
    role === 'controller' ? 'CONTROLLER_ENDED' : 'ENGINE_ENDED',
    `the ${role} ended with ${child.describeExit()} before it was ready; its log ends:\n${child.logTail()}`,
  );
}

/**
 * Whether a child of a stock controller found its port in use. The controller selects ports before its children bind
 * them. When another process binds one first, that child ends and the others continue without it.
 */
export function hasPortConflict(controller: Child): boolean {
  return controller.readLog().includes('Address already in use');
}

/** Creates the error for a port conflict on every attempt. */
export function portConflictError(controller: Child): ClusterError {
  return new ClusterError(
    'CONTROLLER_ENDED',
    `a process of the controller ended because its port was in use; its log ends:\n${controller.logTail()}`,
  );
}
