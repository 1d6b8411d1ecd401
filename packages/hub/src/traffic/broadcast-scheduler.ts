import {
  type AnyMessage,
  DELIMITER,
  type Dict,
  type ReplayHistory,
  type Session,
  splitFrames,
} from '@ipyparallel-js/protocol';
import type { Frames, RefusalCounter } from '@ipyparallel-js/wire';
import { errorContent } from '../common/errors.js';

/** What a broadcast scheduler is connected to. */
export interface BroadcastSchedulerOptions {
  readonly session: Session;
  readonly toClient: (frames: Frames) => void;
  /** One for each leaf socket: an engine listens at that of its id modulo their number. */
  readonly toEngines: readonly ((frames: Frames) => void)[];
  readonly refusals: RefusalCounter;
}

type Target = readonly [uuid: string, id: number];

/** The answers to one request that are to come back as one. */
interface Gathering {
  readonly client: readonly Buffer[];
  readonly targets: readonly Target[];
  readonly answers: Map<string, AnyMessage>;
  last: AnyMessage | undefined;
  failed: AnyMessage | undefined;
}

/**
 * Sends one request to many engines, to each under a msg_id of its own, and passes their replies on: one by one, or
 * all at once (coalescing). Mirrors ipyparallel's BroadcastScheduler as its clients and engines see it.
 */
export class BroadcastScheduler {
  readonly #options: BroadcastSchedulerOptions;
  readonly #engines = new Set<string>();
  readonly #gatherings = new Map<string, Gathering>();
  readonly #fromClients: ReplayHistory;
  readonly #fromEngines: ReplayHistory;

  constructor(options: BroadcastSchedulerOptions) {
    this.#options = options;
    this.#fromClients = options.session.newHistory();
    this.#fromEngines = options.session.newHistory();
  }

  addEngine(uuid: string): void {
    this.#engines.add(uuid);
  }

  /** Gives up what would have to wait for the engine; its clients learn of the engine's end by the notification. */
  removeEngine(uuid: string): void {
    this.#engines.delete(uuid);
    for (const [key, { targets, answers }] of this.#gatherings) {
      if (targets.some(([target]) => target === uuid) && !answers.has(uuid)) this.#gatherings.delete(key);
    }
  }

  /** A request from a client: [client, delimiter, message]. */
  submit(frames: readonly Buffer[]): void {
    const message = this.#decode(frames, this.#fromClients, 'broadcast request');
    if (message === undefined) return;
    const targets = readTargets(message.metadata['targets']);
    if (targets === undefined) {
      this.#options.refusals.count('a broadcast request whose targets are no list of [uuid, id]');
      return;
    }
    const original = message.metadata['original_msg_id'] ?? message.msg_id;
    const metadata = { ...message.metadata, original_msg_id: original };
    if (message.metadata['is_coalescing'] === true) {
      const gone = targets.find(([uuid]) => !this.#engines.has(uuid));
      if (gone !== undefined || targets.length === 0) {
        this.#refuse(message, metadata, gone);
        return;
      }
      this.#gatherings.set(gatheringKey(message.idents, String(original)), {
        client: message.idents,
        targets,
        answers: new Map(),
        last: undefined,
        failed: undefined,
      });
    }
    const send = this.#copier(frames, message, metadata);
    for (const target of targets) send(target);
  }

  /** A reply from an engine: [engine, client, delimiter, message]. */
  reply(frames: readonly Buffer[]): void {
    const message = this.#decode(frames, this.#fromEngines, 'broadcast reply');
    const [engine, ...client] = message?.idents ?? [];
    if (message === undefined || engine === undefined || client.length === 0) return;
    if (message.metadata['is_coalescing'] === true) {
      this.#gather(engine.toString('utf8'), client, message);
    } else {
      this.#options.toClient(frames.slice(1));
    }
  }

  #gather(engine: string, client: readonly Buffer[], message: AnyMessage): void {
    const key = gatheringKey(client, String(message.metadata['original_msg_id']));
    const gathering = this.#gatherings.get(key);
    if (!gathering?.targets.some(([uuid]) => uuid === engine)) return;
    gathering.answers.set(engine, message);
    gathering.last = message;
    // The one reply is the first failure if there is any: its parts must not claim that all went well.
    if (message.content['status'] !== 'ok') gathering.failed ??= message;
    if (gathering.answers.size < new Set(gathering.targets.map(([uuid]) => uuid)).size) return;
    this.#gatherings.delete(key);
    const { header, parent_header, metadata, content } = gathering.failed ?? message;
    const parts = gathering.targets.flatMap(([uuid]) => gathering.answers.get(uuid) ?? []);
    const reply = {
      header,
      parent_header,
      metadata: {
        ...metadata,
        broadcast_targets: gathering.targets,
        // How many of the buffers are of each target, which only Python's values tell by themselves.
        broadcast_buffers: parts.map(({ buffers }) => buffers.length),
      },
      content: gathering.failed === undefined ? withAllDigests(content, parts) : content,
      buffers: parts.flatMap(({ buffers }) => buffers),
    };
    this.#options.toClient(this.#options.session.encode(reply, gathering.client));
  }

  /** Everything but header and metadata is sent on as it came: unread, packed once. */
  #copier(frames: readonly Buffer[], message: AnyMessage, metadata: Dict): (target: Target) => void {
    const { packer, signer } = this.#options.session.codec;
    const [, , parent, , content, ...buffers] = splitFrames(frames).body;
    const packedMetadata = packer.pack(metadata);
    const { toEngines } = this.#options;
    return ([uuid, id]) => {
      if (parent === undefined || content === undefined) return;
      const header = packer.pack({ ...message.header, msg_id: `${metadata['original_msg_id']}_${uuid}` });
      const signature = signer.sign([header, parent, packedMetadata, content]);
      toEngines[id % toEngines.length]?.([
        uuid,
        ...message.idents,
        DELIMITER,
        signature,
        header,
        parent,
        packedMetadata,
        content,
        ...buffers,
      ]);
    };
  }

  #refuse(message: AnyMessage, metadata: Dict, gone: Target | undefined): void {
    const { session, toClient } = this.#options;
    const evalue = gone === undefined ? 'no engines to send it to' : `Engine ${gone[1]} (${gone[0]}) is gone`;
    const type = message.msg_type === 'execute_request' ? 'execute_reply' : 'apply_reply';
    const parts = {
      parent: message.header,
      metadata: { ...metadata, status: 'error', is_coalescing: true, broadcast_targets: metadata['targets'] },
    };
    toClient(
      session.encode(session.rawMessage(type, errorContent('EngineError', evalue), parts), message.idents),
    );
  }

  #decode(frames: readonly Buffer[], history: ReplayHistory, what: string): AnyMessage | undefined {
    try {
      return this.#options.session.decode(frames, history);
    } catch (error) {
      this.#options.refusals.count(`a ${what}: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  }
}

/** JavaScript's replies vouch for their buffers in their content: the one reply vouches for all. */
function withAllDigests(content: Dict, parts: readonly AnyMessage[]): Dict {
  if (!Array.isArray(content['buffer_digests'])) return content;
  const digests = parts.flatMap((part): unknown[] => {
    const each = part.content['buffer_digests'];
    return Array.isArray(each) ? each : [];
  });
  return { ...content, buffer_digests: digests };
}

function gatheringKey(client: readonly Buffer[], original: string): string {
  return `${client.map((ident) => ident.toString('hex')).join('/')} ${original}`;
}

function readTargets(value: unknown): Target[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const targets: Target[] = [];
  for (const item of value) {
    if (!Array.isArray(item)) return undefined;
    const [uuid, id] = item as unknown[];
    if (
      typeof uuid !== 'string' ||
      uuid === '' ||
      typeof id !== 'number' ||
      !Number.isInteger(id) ||
      id < 0
    ) {
      return undefined;
    }
    targets.push([uuid, id]);
  }
  return targets;
}
