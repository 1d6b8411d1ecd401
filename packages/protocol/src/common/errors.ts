/**
 * The error tree. Every error of ours derives from {@link IpyparallelError} and has a stable `code`.
 * Misuse, protocol, transport, time-out and remote failures are its five branches.
 */
export class IpyparallelError extends Error {
  /** Stable, machine-readable name of the failure, for example `INVALID_QUERY`. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.name = new.target.name;
  }
}

/** The caller asked for something that cannot be: a wrong option, a closed client, an unknown engine. */
export class UsageError extends IpyparallelError {
  constructor(message: string, options?: ErrorOptions & { code?: string }) {
    super(options?.code ?? 'USAGE', message, options);
  }
}

/** A query that no Task Database can answer; thrown before anything is sent. */
export class InvalidQueryError extends UsageError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'INVALID_QUERY' });
  }
}

/** A connection file that is missing, unreadable, truncated, foreign or incomplete; `path` names it. */
export class ConnectionFileError extends UsageError {
  readonly path: string;

  constructor(path: string, problem: string, options?: ErrorOptions) {
    super(`connection file ${path}: ${problem}`, { ...options, code: 'CONNECTION_FILE' });
    this.path = path;
  }
}

/** What an engine of one language was asked to do can only be done by an engine of another. */
export class LanguageMismatchError extends UsageError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'LANGUAGE_MISMATCH' });
  }
}

/** Bytes from the wire that are not a message we accept. */
export class ProtocolError extends IpyparallelError {
  constructor(message: string, options?: ErrorOptions & { code?: string }) {
    super(options?.code ?? 'PROTOCOL', message, options);
  }
}

/** Frames that do not form a message: too few, no delimiter, not the packer's format, a field missing. */
export class MalformedMessageError extends ProtocolError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'MALFORMED_MESSAGE' });
  }
}

/** A signature that is missing or does not fit the key. */
export class SignatureError extends ProtocolError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'BAD_SIGNATURE' });
  }
}

/** A message whose signature was seen before on the same receiver. */
export class ReplayError extends ProtocolError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'REPLAYED_MESSAGE' });
  }
}

/** A packer that we do not speak (`pickle` on purpose: unpickling a message runs code). */
export class UnsupportedPackerError extends ProtocolError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'UNSUPPORTED_PACKER' });
  }
}

/** The connection itself failed or has ended. */
export class TransportError extends IpyparallelError {
  constructor(message: string, options?: ErrorOptions & { code?: string }) {
    super(options?.code ?? 'TRANSPORT', message, options);
  }
}

/** The client was closed, or the hub said that it is shutting down, while something was outstanding. */
export class ConnectionClosedError extends TransportError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'CONNECTION_CLOSED' });
  }
}

/** The key of the connection file is not the hub's. */
export class AuthenticationError extends TransportError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'AUTHENTICATION' });
  }
}

/** Nothing came in time; the message names the address and the time waited (`waitedMs`). */
export class TimeoutError extends IpyparallelError {
  readonly waitedMs: number;

  constructor(message: string, waitedMs: number, options?: ErrorOptions) {
    super('TIMEOUT', message, options);
    this.waitedMs = waitedMs;
  }
}

/** What a hub, scheduler or engine says about a failure; the `content` of a reply with status error. */
export interface RemoteErrorInfo {
  readonly ename: string;
  readonly evalue: string;
  readonly traceback: readonly string[];
  readonly engineUuid?: string;
  readonly engineId?: number;
  readonly method?: string;
}

/** An error raised elsewhere: `ename`, `evalue` and `traceback` are the remote side's own words. */
export class RemoteError extends IpyparallelError {
  readonly ename: string;
  readonly evalue: string;
  readonly traceback: readonly string[];
  readonly engineUuid: string | undefined;
  readonly engineId: number | undefined;
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

/** The engine died, or was unregistered, while it had the task. */
export class EngineError extends RemoteError {
  constructor(info: RemoteErrorInfo, options?: ErrorOptions & { message?: string }) {
    super(info, { ...options, code: 'ENGINE_DIED' });
  }
}

/** The task was aborted: before it ran or, on a JavaScript engine, by its signal. */
export class TaskAbortedError extends RemoteError {
  constructor(info: RemoteErrorInfo, options?: ErrorOptions & { message?: string }) {
    super(info, { ...options, code: 'TASK_ABORTED' });
  }
}

/**
 * Nobody will ever say how these tasks ended: the controller that had them ended, and no record tells. They may have
 * run. The message says what is known.
 */
export class TaskLostError extends RemoteError {
  readonly msgIds: readonly string[];

  constructor(msgIds: readonly string[], why: string, options?: ErrorOptions) {
    const ids = msgIds.map((id) => JSON.stringify(id)).join(', ');
    super(
      { ename: 'TaskLost', evalue: why, traceback: [] },
      { ...options, code: 'TASK_LOST', message: `no result will come of ${ids}: ${why}` },
    );
    this.msgIds = msgIds;
  }
}

/** The hub refused or failed a request; `ename` and `evalue` are its own. */
export class HubError extends RemoteError {
  constructor(info: RemoteErrorInfo, options?: ErrorOptions & { code?: string; message?: string }) {
    super(info, { ...options, code: options?.code ?? 'HUB' });
  }
}

/** The hub has no record of these tasks; `reason` tells a purged or culled one where the hub says so. */
export class TaskNotFoundError extends HubError {
  readonly msgIds: readonly string[];
  readonly reason: 'unknown' | 'purged';

  constructor(msgIds: readonly string[], reason: 'unknown' | 'purged', info?: RemoteErrorInfo) {
    const ids = msgIds.map((id) => JSON.stringify(id)).join(', ');
    const why =
      reason === 'purged'
        ? 'purged from, or culled by, the Task Database'
        : 'the hub has never heard of it, or its record was purged';
    super(info ?? { ename: 'KeyError', evalue: ids, traceback: [] }, {
      code: 'TASK_NOT_FOUND',
      message: `no such task: ${ids} (${why})`,
    });
    this.msgIds = msgIds;
    this.reason = reason;
  }
}

/** A purge that names a task which has not finished: nothing was purged. */
export class TaskPendingError extends HubError {
  readonly msgIds: readonly string[];

  constructor(msgIds: readonly string[], info?: RemoteErrorInfo) {
    const ids = msgIds.map((id) => JSON.stringify(id)).join(', ');
    super(info ?? { ename: 'IndexError', evalue: `msg pending: ${ids}`, traceback: [] }, {
      code: 'TASK_PENDING',
      message: `cannot purge a task that is still pending: ${ids}; nothing was purged. Wait for it or abort it first`,
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
        'this controller keeps no Task Database (it was started with --nodb): queries, history, results of other clients and resubmission need one',
    });
  }
}

/** One of several failures: which task, and where it ran as far as is known. */
export interface TaskFailure {
  readonly error: Error;
  readonly msgId: string;
  readonly engineId: number | null;
}

/** Failures that the message of a {@link CompositeError} lists. */
const MOST_LISTED = 8;

/** Several tasks failed; `errors` and `failures` list each, in the order of the tasks. */
export class CompositeError extends IpyparallelError {
  readonly errors: readonly Error[];
  readonly #failures: readonly TaskFailure[];

  constructor(failures: readonly TaskFailure[]) {
    const lines = failures.slice(0, MOST_LISTED).map(({ error, msgId, engineId }) => {
      const place = engineId === null ? '' : ` on engine ${engineId}`;
      return `\n  ${msgId}${place}: ${error.message.split('\n', 1)[0]}`;
    });
    if (failures.length > MOST_LISTED) lines.push(`\n  and ${failures.length - MOST_LISTED} more`);
    const count = failures.length === 1 ? '1 task' : `${failures.length} tasks`;
    super('COMPOSITE', `${count} failed:${lines.join('')}`, { cause: failures[0]?.error });
    this.#failures = failures;
    this.errors = failures.map(({ error }) => error);
  }

  // No property of its own: what prints an error would print each of these errors a second time.
  get failures(): readonly TaskFailure[] {
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
