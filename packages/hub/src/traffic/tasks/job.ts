import type { AnyMessage, Header } from '@ipyparallel-js/protocol';
import { isDict } from '@ipyparallel-js/protocol/internal';
import { Dependency, parseDependency } from './dependency.js';

/** A task of the scheduler: its message, and the scheduling options in its metadata. */
export class Job {
  readonly msgId: string;
  /** The request as received: [client, delimiter, message]. */
  readonly frames: readonly Buffer[];
  /** The identities before the delimiter. */
  readonly client: readonly Buffer[];
  readonly header: Header;
  /** The engines that may run the task; undefined for any. */
  readonly targets: ReadonlySet<string> | undefined;
  readonly after: Dependency;
  readonly follow: Dependency;
  /** Whether `after` and `follow` are valid. */
  readonly hasValidDependencies: boolean;
  /** How long the task may be queued, in ms; 0 for unlimited. */
  readonly timeout: number;
  /** How many retries are left. */
  retries: number;
  /** The engines on which the task failed or was refused. */
  readonly blacklist = new Set<string>();
  /** The reply of the last failed attempt: [client, engine, ...]. */
  lastFailure: readonly Buffer[] | undefined;
  timer: NodeJS.Timeout | undefined;

  constructor(frames: readonly Buffer[], message: AnyMessage) {
    const { metadata } = message;
    this.frames = frames;
    this.client = message.idents;
    this.header = message.header;
    this.msgId = message.msg_id;
    const targets = metadata['targets'];
    this.targets =
      Array.isArray(targets) && targets.length > 0
        ? new Set(targets.filter((target) => typeof target === 'string'))
        : undefined;
    const after = parseDependency(metadata['after']);
    const follow = parseDependency(metadata['follow']);
    this.hasValidDependencies = after !== undefined && follow !== undefined && isDict(metadata);
    this.after = after ?? Dependency.NONE;
    this.follow = follow ?? Dependency.NONE;
    const timeout = metadata['timeout'];
    this.timeout = typeof timeout === 'number' && timeout > 0 ? timeout * 1000 : 0;
    const retries = metadata['retries'];
    this.retries = typeof retries === 'number' && retries > 0 ? Math.floor(retries) : 0;
  }

  /** Whether the task may run on any engine. */
  get runsOnAnyEngine(): boolean {
    return this.targets === undefined && this.blacklist.size === 0 && this.follow.ids.size === 0;
  }

  /** The tasks on which it depends. */
  get dependencies(): Set<string> {
    return new Set([...this.after.ids, ...this.follow.ids]);
  }
}
