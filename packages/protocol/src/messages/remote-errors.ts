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

/** Reads the failure from the content of a reply with status `error` or `aborted`. */
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
    // Python engines send -1 when they do not know their id.
    ...(typeof engineId === 'number' && engineId >= 0 ? { engineId } : {}),
    ...(method === undefined ? {} : { method }),
  };
}

/** The engine of a task, for errors that do not name it. */
export interface TaskEngine {
  readonly engineUuid?: string;
  readonly engineId?: number;
}

/** Creates the error for a failed task's reply: {@link EngineError}, {@link TaskAbortedError}, {@link TaskLostError}, … */
export function taskError(content: Dict, engine: TaskEngine = {}): RemoteError {
  const info = { ...engine, ...remoteErrorInfo(content) };
  if (info.ename === 'EngineError') return new EngineError(info);
  // Our hub writes this ename and evalue into the record of a task that a restart lost.
  if (info.ename === 'TaskLost') {
    const id = /^task '([^']+)'/.exec(info.evalue)?.[1];
    return new TaskLostError(id === undefined ? [] : [id], info.evalue);
  }
  if (info.ename === 'TaskAborted' || content['status'] === 'aborted') return new TaskAbortedError(info);
  return new RemoteError(info);
}

/**
 * Creates the error for a failed hub request, from a `hub_error` or from a reply with status `error`: Python hubs send
 * either.
 * @param msgIds the msg_ids of the request, to name the unknown or unfinished tasks
 */
export function hubError(content: Dict, msgIds: readonly string[] = []): HubError {
  const info = remoteErrorInfo(content);
  const namedIds = msgIds.filter((id) => info.evalue.includes(id));
  switch (info.ename) {
    case 'NoData':
      return new NoDatabaseError(info);
    case 'TaskPurged':
      return new TaskNotFoundError(namedIds.length > 0 ? namedIds : msgIds, 'purged', info);
    case 'KeyError':
      if (namedIds.length > 0) {
        // A Python hub that had the task raises KeyError for the missing record, so the evalue is the id alone.
        const isBareId = namedIds.length === 1 && info.evalue === `'${namedIds[0]}'`;
        return new TaskNotFoundError(namedIds, isBareId ? 'purged' : 'unknown', info);
      }
      break;
    case 'IndexError':
      if (info.evalue.startsWith('msg pending')) return new TaskPendingError(namedIds, info);
      break;
  }
  return new HubError(info);
}
