import { type AnyMessage, DELIMITER, type Dict, type Session, splitFrames } from '@ipyparallel-js/protocol';
import type { Frames, Intake, RefusalCounter } from '@ipyparallel-js/wire';
import { countingIntake } from '../common/counting-intake.js';
import { errorContent } from '../common/errors.js';

export interface BroadcastSchedulerOptions {
  readonly session: Session;
  readonly toClient: (frames: Frames) => void;
  /** One function per leaf socket. An engine is connected to the leaf of its id modulo the number of leaves. */
  readonly toEngines: readonly ((frames: Frames) => void)[];
  readonly refusals: RefusalCounter;
}

type Target = readonly [uuid: string, id: number];

/** A request whose replies are returned as one. */
interface CoalescedRequest {
  readonly client: readonly Buffer[];
  readonly targets: readonly Target[];
  readonly replies: Map<string, AnyMessage>;
  firstFailure: AnyMessage | undefined;
}

/**
 * Sends one request to many engines, under a different msg_id for each, and forwards their replies one by one or
 * coalesced into one reply. Mirrors the protocol of ipyparallel's BroadcastScheduler.
 */
export class BroadcastScheduler {
  readonly #options: BroadcastSchedulerOptions;
  readonly #engines = new Set<string>();
  readonly #coalescedRequests = new Map<string, CoalescedRequest>();
  readonly #intake: Intake;

  constructor(options: BroadcastSchedulerOptions) {
    this.#options = options;
    this.#intake = countingIntake(options.session, options.refusals);
  }

  addEngine(uuid: string): void {
    this.#engines.add(uuid);
  }

  /** Drops requests that wait for the engine. Their clients are notified that the engine is unregistered. */
  removeEngine(uuid: string): void {
    this.#engines.delete(uuid);
    for (const [key, { targets, replies }] of this.#coalescedRequests) {
      if (targets.some(([target]) => target === uuid) && !replies.has(uuid))
        this.#coalescedRequests.delete(key);
    }
  }

  /** A request from a client: [client, delimiter, message]. */
  submit(frames: readonly Buffer[]): void {
    const message = this.#intake.decode('broadcast request', frames);
    if (message === undefined) return;
    const targets = readTargets(message.metadata['targets']);
    if (targets === undefined) {
      this.#options.refusals.count('a broadcast request whose targets are not a list of [uuid, id]');
      return;
    }
    const originalId = message.metadata['original_msg_id'] ?? message.msg_id;
    const metadata = { ...message.metadata, original_msg_id: originalId };
    if (message.metadata['is_coalescing'] === true) {
      const missingTarget = targets.find(([uuid]) => !this.#engines.has(uuid));
      if (missingTarget !== undefined || targets.length === 0) {
        this.#replyWithError(message, metadata, missingTarget);
        return;
      }
      this.#coalescedRequests.set(requestKey(message.idents, String(originalId)), {
        client: message.idents,
        targets,
        replies: new Map(),
        firstFailure: undefined,
      });
    }
    const send = this.#sender(frames, message, metadata);
    for (const target of targets) send(target);
  }

  /** A reply from an engine: [engine, client, delimiter, message]. */
  reply(frames: readonly Buffer[]): void {
    const message = this.#intake.decode('broadcast reply', frames);
    const [engine, ...client] = message?.idents ?? [];
    if (message === undefined || engine === undefined || client.length === 0) return;
    if (message.metadata['is_coalescing'] === true) {
      this.#coalesce(engine.toString('utf8'), client, message);
    } else {
      this.#options.toClient(frames.slice(1));
    }
  }

  #coalesce(engine: string, client: readonly Buffer[], message: AnyMessage): void {
    const key = requestKey(client, String(message.metadata['original_msg_id']));
    const request = this.#coalescedRequests.get(key);
    if (!request?.targets.some(([uuid]) => uuid === engine)) return;
    request.replies.set(engine, message);
    // The coalesced reply is the first failure, if any, so that it does not report success.
    if (message.content['status'] !== 'ok') request.firstFailure ??= message;
    if (request.replies.size < new Set(request.targets.map(([uuid]) => uuid)).size) return;
    this.#coalescedRequests.delete(key);
    const { header, parent_header, metadata, content } = request.firstFailure ?? message;
    const parts = request.targets.flatMap(([uuid]) => request.replies.get(uuid) ?? []);
    const reply = {
      header,
      parent_header,
      metadata: {
        ...metadata,
        broadcast_targets: request.targets,
        // The number of buffers of each target, which a client cannot derive from JavaScript results.
        broadcast_buffers: parts.map(({ buffers }) => buffers.length),
      },
      content: request.firstFailure === undefined ? withAllDigests(content, parts) : content,
      buffers: parts.flatMap(({ buffers }) => buffers),
    };
    this.#options.toClient(this.#options.session.encode(reply, request.client));
  }

  /** Returns a function that sends the request to a target. Only header and metadata are packed again. */
  #sender(frames: readonly Buffer[], message: AnyMessage, metadata: Dict): (target: Target) => void {
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

  #replyWithError(message: AnyMessage, metadata: Dict, missingTarget: Target | undefined): void {
    const { session, toClient } = this.#options;
    const evalue =
      missingTarget === undefined
        ? 'the broadcast request names no engines'
        : `Engine ${missingTarget[1]} (${missingTarget[0]}) is not registered`;
    const type = message.msg_type === 'execute_request' ? 'execute_reply' : 'apply_reply';
    const parts = {
      parent: message.header,
      metadata: { ...metadata, status: 'error', is_coalescing: true, broadcast_targets: metadata['targets'] },
    };
    toClient(
      session.encode(session.rawMessage(type, errorContent('EngineError', evalue), parts), message.idents),
    );
  }
}

/** Joins the digests of the buffers, which the contents of JavaScript replies carry. */
function withAllDigests(content: Dict, parts: readonly AnyMessage[]): Dict {
  if (!Array.isArray(content['buffer_digests'])) return content;
  const digests = parts.flatMap((part): unknown[] => {
    const partDigests = part.content['buffer_digests'];
    return Array.isArray(partDigests) ? partDigests : [];
  });
  return { ...content, buffer_digests: digests };
}

function requestKey(client: readonly Buffer[], originalId: string): string {
  return `${client.map((ident) => ident.toString('hex')).join('/')} ${originalId}`;
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
