import { EngineError, type RemoteError } from '@ipyparallel-js/protocol';

/** The error of a task whose engine unregistered. */
export function engineDied(msgId: string, engineUuid: string, engineId: number | undefined): RemoteError {
  return new EngineError({
    ename: 'EngineError',
    evalue: `the engine died while it had task ${msgId}`,
    traceback: [],
    engineUuid,
    ...(engineId === undefined ? {} : { engineId }),
  });
}
