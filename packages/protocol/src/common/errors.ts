/**
 * The base class of all errors of ipyparallel-js. Its main branches are {@link UsageError}, {@link ProtocolError},
 * {@link TransportError}, {@link TimeoutError} and {@link RemoteError}.
 */
export class IpyparallelError extends Error {
  /** Machine-readable name of the failure, for example `INVALID_QUERY`. Codes are stable, messages are not. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.name = new.target.name;
  }
}

/** A call was invalid, for example because of an unknown option, a closed client or an unknown engine. */
export class UsageError extends IpyparallelError {
  constructor(message: string, options?: ErrorOptions & { code?: string }) {
    super(options?.code ?? 'USAGE', message, options);
  }
}

/** The query is invalid; thrown before anything is sent. */
export class InvalidQueryError extends UsageError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'INVALID_QUERY' });
  }
}

/** The connection file is missing, unreadable, truncated or incomplete, or another program wrote it. */
export class ConnectionFileError extends UsageError {
  /** The path of the connection file. */
  readonly path: string;

  constructor(path: string, problem: string, options?: ErrorOptions) {
    super(`connection file ${path}: ${problem}`, { ...options, code: 'CONNECTION_FILE' });
    this.path = path;
  }
}

/** The work requires an engine of another language than that of its target engines. */
export class LanguageMismatchError extends UsageError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'LANGUAGE_MISMATCH' });
  }
}

/** A received message was rejected: malformed, unsigned, replayed or in an unsupported format. */
export class ProtocolError extends IpyparallelError {
  constructor(message: string, options?: ErrorOptions & { code?: string }) {
    super(options?.code ?? 'PROTOCOL', message, options);
  }
}

/** The frames do not form a message: too few frames, no delimiter, the wrong format or a missing field. */
export class MalformedMessageError extends ProtocolError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'MALFORMED_MESSAGE' });
  }
}

/** The signature of a message is missing, or was not made with this key. */
export class SignatureError extends ProtocolError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'BAD_SIGNATURE' });
  }
}

/** The same receiver already accepted a message with this signature. */
export class ReplayError extends ProtocolError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'REPLAYED_MESSAGE' });
  }
}

/** The connection file names an unsupported packer. `pickle` is refused because unpickling a message can run code. */
export class UnsupportedPackerError extends ProtocolError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'UNSUPPORTED_PACKER' });
  }
}

/** The connection failed or was closed. */
export class TransportError extends IpyparallelError {
  constructor(message: string, options?: ErrorOptions & { code?: string }) {
    super(options?.code ?? 'TRANSPORT', message, options);
  }
}

/** The client was closed, the hub shut down, or the controller stayed out of reach, while a request was outstanding. */
export class ConnectionClosedError extends TransportError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'CONNECTION_CLOSED' });
  }
}

/** The key of the connection file differs from the key of the hub. */
export class AuthenticationError extends TransportError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'AUTHENTICATION' });
  }
}

/** No reply or result arrived in time; the message names the address and the time waited. */
export class TimeoutError extends IpyparallelError {
  /** The time waited, in ms. */
  readonly waitedMs: number;

  constructor(message: string, waitedMs: number, options?: ErrorOptions) {
    super('TIMEOUT', message, options);
    this.waitedMs = waitedMs;
  }
}

/** The failure that a hub, scheduler or engine reports in a reply with status `error` or `aborted`. */
export interface RemoteErrorInfo {
  /** The class of the remote exception, for example `ZeroDivisionError`. */
  readonly ename: string;
  /** The message of the remote exception. */
  readonly evalue: string;
  readonly traceback: readonly string[];
  /** The uuid of the engine that reported the failure, if known. */
  readonly engineUuid?: string;
  /** The id of the engine that reported the failure, if known. */
  readonly engineId?: number;
  /** `apply` or `execute`, if the engine reported it. */
  readonly method?: string;
}

/** A task or a request failed on the remote side. */
export class RemoteError extends IpyparallelError {
  /** The class of the remote exception, for example `ZeroDivisionError`. */
  readonly ename: string;
  /** The message of the remote exception. */
  readonly evalue: string;
  /** The remote traceback, one entry per line or frame. */
  readonly traceback: readonly string[];
  /** The uuid of the engine that reported the failure, if known. */
  readonly engineUuid: string | undefined;
  /** The id of the engine that reported the failure, if known. */
  readonly engineId: number | undefined;
  /** `apply` or `execute`, if the engine reported it. */
  readonly method: string | undefined;

  constructor(info: RemoteErrorInfo, options?: ErrorOptions & { code?: string; message?: string }) {
    super(options?.code ?? 'REMOTE', options?.message ?? describeRemote(info), options);
    this.ename = info.ename;
    this.evalue = info.evalue;
    this.traceback = info.traceback;
    this.engineUuid = info.engineUuid;
    this.engineId = info.engineId;
    this.method = info.method;
  }
}

/** The engine died, or was unregistered, before it finished the task. */
export class EngineError extends RemoteError {
  constructor(info: RemoteErrorInfo, options?: ErrorOptions & { message?: string }) {
    super(info, { ...options, code: 'ENGINE_DIED' });
  }
}

/** The task was aborted before it ran or, on a JavaScript engine, while it ran, through its `task.signal`. */
export class TaskAbortedError extends RemoteError {
  constructor(info: RemoteErrorInfo, options?: ErrorOptions & { message?: string }) {
    super(info, { ...options, code: 'TASK_ABORTED' });
  }
}

/**
 * The outcome of these tasks cannot be known, because their controller ended and no record has their result. They may
 * have run. The message explains what is known.
 */
export class TaskLostError extends RemoteError {
  /** The ids of the lost tasks. */
  readonly msgIds: readonly string[];

  constructor(msgIds: readonly string[], reason: string, options?: ErrorOptions) {
    const ids = msgIds.map((id) => JSON.stringify(id)).join(', ');
    super(
      { ename: 'TaskLost', evalue: reason, traceback: [] },
      {
        ...options,
        code: 'TASK_LOST',
        message: `no result will arrive for ${msgIds.length === 1 ? 'task' : 'tasks'} ${ids}: ${reason}`,
      },
    );
    this.msgIds = msgIds;
  }
}

/** The hub rejected a request, or failed while it processed one; `ename` and `evalue` are from its reply. */
export class HubError extends RemoteError {
  constructor(info: RemoteErrorInfo, options?: ErrorOptions & { code?: string; message?: string }) {
    super(info, { ...options, code: options?.code ?? 'HUB' });
  }
}

/** The hub has no record of these tasks. */
export class TaskNotFoundError extends HubError {
  /** The ids of the missing tasks. */
  readonly msgIds: readonly string[];
  /** `purged` when the hub reports that it had a record; `unknown` otherwise. */
  readonly reason: 'unknown' | 'purged';

  constructor(msgIds: readonly string[], reason: 'unknown' | 'purged', info?: RemoteErrorInfo) {
    const ids = msgIds.map((id) => JSON.stringify(id)).join(', ');
    const explanation =
      reason === 'purged'
        ? 'its record was purged or culled from the Task Database'
        : 'the id is unknown to the hub, or its record was purged';
    super(info ?? { ename: 'KeyError', evalue: ids, traceback: [] }, {
      code: 'TASK_NOT_FOUND',
      message: `no such task: ${ids} (${explanation})`,
    });
    this.msgIds = msgIds;
    this.reason = reason;
  }
}

/** A purge was refused because it names an unfinished task; nothing was purged. */
export class TaskPendingError extends HubError {
  /** The ids of the unfinished tasks. */
  readonly msgIds: readonly string[];

  constructor(msgIds: readonly string[], info?: RemoteErrorInfo) {
    const ids = msgIds.map((id) => JSON.stringify(id)).join(', ');
    super(info ?? { ename: 'IndexError', evalue: `msg pending: ${ids}`, traceback: [] }, {
      code: 'TASK_PENDING',
      message: `cannot purge unfinished task ${ids}; nothing was purged. Wait for it or abort it first`,
    });
    this.msgIds = msgIds;
  }
}

/** The controller was started without a Task Database (`--nodb`). */
export class NoDatabaseError extends HubError {
  constructor(info: RemoteErrorInfo) {
    super(info, {
      code: 'NO_DATABASE',
      message:
        'this controller has no Task Database (it was started with --nodb); queries, history, results of other clients and resubmission need one',
    });
  }
}

/** The failure of one task in a {@link CompositeError}. */
export interface TaskFailure {
  readonly error: Error;
  /** The id of the failed task. */
  readonly msgId: string;
  /** The id of the engine that ran the task; null when unknown. */
  readonly engineId: number | null;
}

/** The number of failures listed in the message of a {@link CompositeError}. */
const LISTED_FAILURES = 8;

/** At least one of several tasks failed. */
export class CompositeError extends IpyparallelError {
  /** The error of each failed task, in the order of the tasks. */
  readonly errors: readonly Error[];
  readonly #failures: readonly TaskFailure[];

  constructor(failures: readonly TaskFailure[]) {
    const lines = failures.slice(0, LISTED_FAILURES).map(({ error, msgId, engineId }) => {
      const engine = engineId === null ? '' : ` on engine ${engineId}`;
      return `\n  ${msgId}${engine}: ${error.message.split('\n', 1)[0]}`;
    });
    if (failures.length > LISTED_FAILURES) lines.push(`\n  and ${failures.length - LISTED_FAILURES} more`);
    const count = failures.length === 1 ? '1 task' : `${failures.length} tasks`;
    super('COMPOSITE', `${count} failed:${lines.join('')}`, { cause: failures[0]?.error });
    this.#failures = failures;
    this.errors = failures.map(({ error }) => error);
  }

  /** The failure of each failed task, with its ids, in the order of the tasks. */
  get failures(): readonly TaskFailure[] {
    // Not an own property, because console.log prints own properties and would print each error twice.
    return this.#failures;
  }
}

function describeRemote(info: RemoteErrorInfo): string {
  const where =
    info.engineId !== undefined && info.engineId >= 0
      ? ` on engine ${info.engineId}`
      : info.engineUuid !== undefined
        ? ` on engine ${info.engineUuid}`
        : '';
  return info.evalue === '' ? `${info.ename}${where}` : `${info.ename}: ${info.evalue}${where}`;
}
