import {
  type AnyMessage,
  type MessageContents,
  ProtocolError,
  parseWireDate,
} from '@ipyparallel-js/protocol';
import { isDict } from '@ipyparallel-js/protocol/internal';
import type { LiveChange } from './live-set.js';

/** The content of a `subscription_update`. */
export type UpdateContent = MessageContents['subscription_update'];
/** A change that a hub pushes. */
export type Change = UpdateContent['changes'][number];

/** @throws {ProtocolError} when the update is malformed */
export function contentOf(update: AnyMessage): UpdateContent {
  const content = update.content as unknown as UpdateContent;
  changesOf(content.changes);
  if (!Number.isSafeInteger(content.seq))
    throw new ProtocolError(`seq of a subscription_update must be an integer, got ${String(content.seq)}`);
  return content;
}

/** @throws {ProtocolError} when the value is not a list of changes */
export function changesOf(value: unknown): readonly Change[] {
  const changes: readonly unknown[] = Array.isArray(value) ? value : [undefined];
  const valid = changes.every(
    (change) =>
      isDict(change) &&
      (change['op'] === 'set'
        ? isDict(change['record']) && typeof change['record']['msg_id'] === 'string'
        : typeof change['msg_id'] === 'string'),
  );
  if (!valid)
    throw new ProtocolError('changes pushed by a hub must be a list of set, out and gone operations');
  return changes as readonly Change[];
}

export function idOf(change: Change): string {
  return change.op === 'set' ? String(change.record['msg_id']) : change.msg_id;
}

export function begunOf(change: Change): LiveChange[] {
  const begun = change.op === 'set' ? dateOf(change.begun) : undefined;
  return begun === undefined ? [] : [{ op: 'begun', msgId: idOf(change), begun }];
}

export function dateOf(text: unknown): Date | undefined {
  return typeof text === 'string' ? parseWireDate(text)?.date : undefined;
}
