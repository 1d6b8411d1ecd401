import { type Dict, getOwn, getOwnString, isDict } from '../common/dict.js';
import {
  EngineError,
  HubError,
  NoDatabaseError,
  RemoteError,
  type RemoteErrorInfo,
  TaskAbortedError,
  TaskLostError,
  TaskNotFoundError,
  TaskPendingError,
} from '../common/errors.js';

/** The `ename`, `evalue`, `traceback` and engine of a reply with status `error` or `aborted`. */
export function remoteErrorInfo(content: Dict): RemoteErrorInfo {
  const traceback = getOwn(content, 'traceback');
  const info = getOwn(content, 'engine_info');
  const engine: Dict = isDict(info) ? info : {};
  const engineUuid = getOwnString(engine, 'engine_uuid');
  const engineId = getOwn(engine, 'engine_id');
  const method = getOwnString(engine, 'method');
  return {
    ename: getOwnString(content, 'ename') ?? (content['status'] === 'aborted' ? 'TaskAborted' : 'Error'),
    evalue: getOwnString(content, 'evalue') ?? '',
    traceback: Array.isArray(traceback) ? traceback.map(String) : [],
    ...(engineUuid === undefined ? {} : { engineUuid }),
    // Stock engines say -1 where they do not know their own id.
    ...(typeof engineId === 'number' && engineId >= 0 ? { engineId } : {}),
    ...(method === undefined ? {} : { method }),
  };
}

/** Where a task ran, where the error itself does not say. */
export interface TaskEngine {
  readonly engineUuid?: string;
  readonly engineId?: number;
}

/** The error that a failed task's reply stands for: {@link EngineError}, {@link TaskAbortedError}, {@link TaskLostError}, … */
export function taskError(content: Dict, place: TaskEngine = {}): RemoteError {
  const info = { ...place, ...remoteErrorInfo(content) };
  if (info.ename === 'EngineError') return new EngineError(info);
  // Our hub ends the record of a task that a restart has lost with these words.
  if (info.ename === 'TaskLost') {
    const id = /^task '([^']+)'/.exec(info.evalue)?.[1];
    return new TaskLostError(id === undefined ? [] : [id], info.evalue);
  }
  if (info.ename === 'TaskAborted' || content['status'] === 'aborted') return new TaskAbortedError(info);
  return new RemoteError(info);
}

/**
 * The error that a failed hub request stands for. `msgIds` are those of the request, so that an unknown or
 * pending task can be named. Stock hubs answer with `hub_error` or with their reply type; both come here.
 */
export function hubError(content: Dict, msgIds: readonly string[] = []): HubError {
  const info = remoteErrorInfo(content);
  const named = msgIds.filter((id) => info.evalue.includes(id));
  switch (info.ename) {
    case 'NoData':
      return new NoDatabaseError(info);
    case 'TaskPurged':
      return new TaskNotFoundError(named.length > 0 ? named : msgIds, 'purged', info);
    case 'KeyError':
      if (named.length > 0) {
        // A stock hub that once saw the task fails on the missing record itself: the bare id is all it says.
        const bare = named.length === 1 && info.evalue === `'${named[0]}'`;
        return new TaskNotFoundError(named, bare ? 'purged' : 'unknown', info);
      }
      break;
    case 'IndexError':
      if (info.evalue.startsWith('msg pending')) return new TaskPendingError(named, info);
      break;
  }
  return new HubError(info);
}
