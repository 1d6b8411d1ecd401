import type { Child } from '../processes/child.js';
import { ClusterError } from './errors.js';

/** Why a controller or an engine ended before it was ready, in words that help. */
export function endedTooEarly(
  child: Child,
  what: 'controller' | 'engine',
  python: string | undefined,
): ClusterError {
  const log = child.readLog();
  if (child.failure !== undefined) {
    const problem = `${python} cannot be run (${child.failure.code ?? child.failure.message})`;
    return new ClusterError(
      'PYTHON_NOT_FOUND',
      `the ${what} needs Python, and ${problem}: install Python 3, or name the interpreter with the option python or the environment variable PYTHON`,
      { cause: child.failure },
    );
  }
  if (python !== undefined && /No module named '?ipyparallel/.test(log)) {
    return new ClusterError(
      'IPYPARALLEL_NOT_INSTALLED',
      `the ${what} needs ipyparallel 7 or newer, and ${python} has none: install it with ${python} -m pip install ipyparallel, or name another interpreter with the option python or the environment variable PYTHON`,
    );
  }
  return new ClusterError(
    what === 'controller' ? 'CONTROLLER_ENDED' : 'ENGINE_ENDED',
    `the ${what} ended with ${child.describeExit()} before it was ready; its log ends:\n${child.logTail()}`,
  );
}

/**
 * A stock controller picks its ports before its children bind them. When another process is quicker, that child dies
 * and the rest goes on without it.
 */
export function lostAPort(controller: Child): boolean {
  return controller.readLog().includes('Address already in use');
}

/** What is left to say when that happened again and again. */
export function portTaken(controller: Child): ClusterError {
  return new ClusterError(
    'CONTROLLER_ENDED',
    `a part of the controller found its port taken and ended; its log ends:\n${controller.logTail()}`,
  );
}
