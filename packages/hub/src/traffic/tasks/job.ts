import type { AnyMessage, Header } from '@ipyparallel-js/protocol';
import { isDict } from '@ipyparallel-js/protocol/internal';
import { Dependency, parseDependency } from './dependency.js';

/** A task on its way: its message, and what its metadata asks of the scheduler. */
export class Job {
  readonly msgId: string;
  /** As it came: the client's identity, the delimiter, the message. */
  readonly frames: readonly Buffer[];
  /** The identities before the delimiter. */
  readonly client: readonly Buffer[];
  readonly header: Header;
  /** The engines that may run it; undefined for any. */
  readonly targets: ReadonlySet<string> | undefined;
  readonly after: Dependency;
  readonly follow: Dependency;
  /** Whether `after` and `follow` could be read. */
  readonly valid: boolean;
  /** How long it may be queued, in ms; 0 for ever. */
  readonly timeout: number;
  /** How often it may still be tried again. */
  retries: number;
  /** Engines where it failed or was refused. */
  readonly blacklist = new Set<string>();
  /** The reply of the last try that failed: [client, engine, ...]. */
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
    this.valid = after !== undefined && follow !== undefined && isDict(metadata);
    this.after = after ?? Dependency.NONE;
    this.follow = follow ?? Dependency.NONE;
    const timeout = metadata['timeout'];
    this.timeout = typeof timeout === 'number' && timeout > 0 ? timeout * 1000 : 0;
    const retries = metadata['retries'];
    this.retries = typeof retries === 'number' && retries > 0 ? Math.floor(retries) : 0;
  }

  /** Whether nothing restricts where it may run. */
  get anywhere(): boolean {
    return this.targets === undefined && this.blacklist.size === 0 && this.follow.ids.size === 0;
  }

  /** Every task that it depends on. */
  get dependencies(): Set<string> {
    return new Set([...this.after.ids, ...this.follow.ids]);
  }
}
