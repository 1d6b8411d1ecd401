import type { AnyMessage, Dict, Session } from '@ipyparallel-js/protocol';
import { getOwn, isDict } from '@ipyparallel-js/protocol/internal';
import type { Logger, MessageSocket } from '@ipyparallel-js/wire';

/** What {@link LostWork} stands on. */
export interface LostWorkOptions {
  readonly session: Session;
  readonly id: number;
  /** The link to the hub's registration socket. */
  readonly link: MessageSocket;
  readonly log: Logger;
  /** Those of these tasks that have not come here. */
  readonly missing: (msgIds: readonly string[]) => readonly string[];
  /** Answers a task that has not come, in the name of its queue (`task` or `mux`). */
  readonly fail: (queue: string, request: LostRequest) => void;
}

/** What the Task Database has of a request that never came. */
export interface LostRequest {
  readonly header: Dict;
  readonly metadata: Dict;
  /** The session of its client. */
  readonly client: string;
}

/** What was sent may still be on its way: a task counts as lost when it has not come after so long, in ms. */
const PATIENCE = 2000;

/** How many of them are asked about at once. */
const MOST = 1000;

/**
 * Finds tasks that a stock controller has sent to this engine while it had no link: the controller's sockets drop them
 * silently, and its task scheduler, which gives an engine one task at a time, waits for an answer for ever. They are
 * answered with a failure, so that the scheduler goes on and their records end.
 */
export class LostWork {
  readonly #options: LostWorkOptions;
  #suspects: ReadonlySet<string> | undefined;
  #asked = '';
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LostWorkOptions) {
    this.#options = options;
  }

  /** Looks for them, twice. */
  look(): void {
    this.#suspects = undefined;
    clearTimeout(this.#timer);
    this.#ask();
  }

  /** A message from the hub. */
  take({ msg_type: type, content, parent_header: parent }: AnyMessage): void {
    if (this.#asked === '' || getOwn(parent, 'msg_id') !== this.#asked) return;
    this.#asked = '';
    if (type === 'queue_reply') this.#onQueue(content);
    else if (type === 'db_reply' && Array.isArray(content['records'])) this.#fail(content['records']);
    else
      this.#options.log.warn(
        `the hub does not say what has become of lost tasks: ${JSON.stringify(content['evalue'])}`,
      );
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #send(type: 'queue_request' | 'db_request', content: Dict): void {
    const { session, link } = this.#options;
    const message = session.rawMessage(type, content);
    this.#asked = message.msg_id;
    link.send(session.encode(message));
  }

  #ask(): void {
    this.#send('queue_request', { targets: [this.#options.id], verbose: true });
  }

  #onQueue(content: Dict): void {
    const { id, log } = this.#options;
    const mine = getOwn(content, String(id));
    if (!isDict(mine)) return;
    const listed = [mine['queue'], mine['tasks']].flatMap((ids) => (Array.isArray(ids) ? ids : []));
    const missing = this.#options.missing(listed.filter((msgId) => typeof msgId === 'string'));
    if (missing.length === 0) return;
    if (this.#suspects === undefined) {
      this.#suspects = new Set(missing);
      this.#timer = setTimeout(() => this.#ask(), PATIENCE);
      return;
    }
    const before = this.#suspects;
    const lost = missing.filter((msgId) => before.has(msgId)).slice(0, MOST);
    if (lost.length === 0) return;
    log.warn(
      `${lost.length} tasks were sent here before the links were up again, and are lost; they are answered with an EngineError`,
    );
    this.#send('db_request', { query: { msg_id: { $in: lost } }, keys: ['header', 'metadata', 'queue'] });
  }

  #fail(records: readonly unknown[]): void {
    for (const record of records) {
      if (!isDict(record)) continue;
      const { header, metadata, queue } = record;
      if (!isDict(header) || typeof header['msg_id'] !== 'string' || typeof queue !== 'string') continue;
      if (header['msg_type'] !== 'execute_request' && header['msg_type'] !== 'apply_request') continue;
      if (this.#options.missing([header['msg_id']]).length === 0) continue;
      const client = String(header['session'] ?? '');
      this.#options.fail(queue, { header, metadata: isDict(metadata) ? metadata : {}, client });
    }
  }
}
